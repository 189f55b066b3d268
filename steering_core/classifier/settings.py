"""Sizes of the relation network."""

from __future__ import annotations

from dataclasses import dataclass

from ..wording import brief

#: Sizes beyond these are no classifier of attention maps; the published ones are a hundredth of them.
MOST_LAYERS, MOST_WIDTH, _MOST_STEPS, MOST_MAP_SIZE, MOST_RELATIONS = 64, 2**14, 10_000, 256, 1000
TIME_BEFORE = ("every_layer", "first_layer", "none")


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Refuse a value that is not from ``least`` to ``most``.

    Raises:
        ValueError: it is not; names it.
    """
    if not least <= value <= most:
        raise ValueError(f"{name} must be {least} to {most}, not {brief(value)}.")


@dataclass(frozen=True)
class TransformerSettings:
    """Of one of the two transformers: heads, layers, width of the feed-forward part, dropout.

    Raises:
        ValueError: one is outside its range.
    """

    heads: int = 2
    layers: int = 2
    feed_forward: int = 128
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_range("heads", self.heads, 1, MOST_WIDTH)
        check_range("layers", self.layers, 1, MOST_LAYERS)
        check_range("feed_forward", self.feed_forward, 1, MOST_WIDTH)
        check_range("dropout", self.dropout, 0, 1)


@dataclass(frozen=True)
class ClassifierSettings:
    """Sizes of the classifier; the defaults are the published ones for Stable Diffusion 1.4.

    Attributes:
        map_size: side of the square maps that it reads.
        width: of both transformers.
        steps: into how many parts the diffusion time is divided; one embedding for each.
        extractor: transformer over the stack of maps.
        aggregation_heads: of the attention that gathers the stack into one map.
        time_before: whether the timestep's embedding is added ``every_layer`` of the extractor, its
            ``first_layer``, or ``none``.
        mean_maps: take the mean of the stack in place of the extractor's transformer.
        classifier: transformer over the two gathered maps.
        time_width: of the timestep's embedding that the head sees; 0 for none.

    Raises:
        ValueError: one is outside its range, or the width cannot be shared out among the heads.
    """

    map_size: int = 16
    width: int = 256
    steps: int = 50
    extractor: TransformerSettings = TransformerSettings()
    aggregation_heads: int = 2
    time_before: str = "every_layer"
    mean_maps: bool = False
    classifier: TransformerSettings = TransformerSettings(heads=4)
    time_width: int = 16

    def __post_init__(self) -> None:
        check_range("map_size", self.map_size, 1, MOST_MAP_SIZE)
        check_range("width", self.width, 2, MOST_WIDTH)
        check_range("steps", self.steps, 1, _MOST_STEPS)
        check_range("time_width", self.time_width, 0, MOST_WIDTH)
        if self.time_before not in TIME_BEFORE:
            raise ValueError(f"time_before must be one of {', '.join(TIME_BEFORE)}, not {brief(self.time_before)}.")
        for heads in (2, self.extractor.heads, self.aggregation_heads, self.classifier.heads):
            if heads < 1 or self.width % heads:
                raise ValueError(
                    f"width must be even and a multiple of all heads, {heads} among them, not {self.width}."
                )
