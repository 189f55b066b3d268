"""The attention layers of a network in which the image looks at the text, under names that all backends share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AttentionLayer:
    """One layer of cross-attention, or of an attention that text and image share.

    Attributes:
        stage: ``down``, ``mid`` or ``up`` of a UNet; the kind of block of a transformer, such as ``double``.
        number: its place among the stage's layers, from 0, in running order.
        level: how often the latent was halved where it runs; in a transformer by its patches.
        heads: how many attention heads it has.
    """

    stage: str
    number: int
    level: int
    heads: int

    @property
    def name(self) -> str:
        """Such as ``up.0``."""
        return f"{self.stage}.{self.number}"


#: Transformers at a level of a UNet's decoder, and how many layers of cross-attention make one deep.
_TRANSFORMERS, _DEEP = 3, 3


def default_layers(layers: Sequence[AttentionLayer]) -> tuple[str, ...]:
    """The layers in which objects find their places, and after which a probe can end.

    Of a UNet the cross-attention of the first two decoder blocks that have any, without the last block. In Stable
    Diffusion these are the first six of the decoder; the last block's loss hardly moves (InfSplign, section 5.2 and
    table 6), and the probe that leaves it out ends that much earlier. In the miniature they are the two at 8×8.
    Of deep transformers, as SDXL has them, the second to fourth layer of the coarsest level's second transformer,
    which InfSplign's released code reads.

    Of a transformer the second quarter of its depth. In the miniature of FLUX's shape that is the last double block
    and the first single one, which served best of all layers there and of the sets that were tried
    (``python -m benchmarks.tune --model flux_miniature --layers each …``, docs/tried.md). Which layers serve best
    with real weights was not measured.
    """
    decoder = [layer for layer in layers if layer.stage == "up"]
    if not decoder:
        first = min(math.ceil(len(layers) / 4), len(layers) - 1)
        return tuple(layer.name for layer in layers[first : max(first + 1, math.ceil(len(layers) / 2))])
    levels = sorted({layer.level for layer in decoder}, reverse=True)
    coarsest = [layer.name for layer in decoder if layer.level == levels[0]]
    if len(coarsest) > _TRANSFORMERS * _DEEP:
        second = len(coarsest) // _TRANSFORMERS
        return tuple(coarsest[second + 1 : second + 4])
    chosen = levels[: min(2, max(1, len(levels) - 1))]
    return tuple(layer.name for layer in decoder if layer.level in chosen)


def presence_layers(layers: Sequence[AttentionLayer]) -> tuple[str, ...]:
    """The layers in whose maps a missing object shows: those at 16×16, which Attend-and-Excite reads.

    Of a UNet they are the ones of the coarsest level but one, in Stable Diffusion and in the miniature. Of one with
    deep transformers, as of a transformer, the ``default_layers``, so that a probe can end where it does.
    """
    levels = sorted({layer.level for layer in layers}, reverse=True)
    if len(levels) == 1 or sum(layer.level == levels[0] for layer in layers) > _TRANSFORMERS * _DEEP:
        return default_layers(layers)
    return tuple(layer.name for layer in layers if layer.level == levels[1])


def layers_on_the_way(layers: Sequence[AttentionLayer]) -> tuple[str, ...]:
    """Every layer up to the last default one: a probe runs through them all, so that they cost nothing."""
    names = [layer.name for layer in layers]
    return tuple(names[: names.index(default_layers(layers)[-1]) + 1])


def published_order(layers: Sequence[AttentionLayer]) -> tuple[str, ...]:
    """All layers as Learn-to-Steer stacks them: coarsest first, and else in running order."""
    return tuple(layer.name for layer in sorted(layers, key=lambda layer: -layer.level))


def _stable_diffusion(heads: Sequence[int]) -> tuple[AttentionLayer, ...]:
    """The layers of Stable Diffusion 1 and 2, given the heads of each level."""
    down = [(level, 2) for level in (0, 1, 2)]
    up = [(level, 3) for level in (2, 1, 0)]
    levels = [("down", [level for level, count in down for _ in range(count)]), ("mid", [3])]
    levels += [("up", [level for level, count in up for _ in range(count)])]
    return tuple(
        AttentionLayer(stage, number, level, heads[level])
        for stage, of_stage in levels
        for number, level in enumerate(of_stage)
    )


def _flux() -> tuple[AttentionLayer, ...]:
    """The joint attention of FLUX.1: 19 double and 38 single blocks on patches of 2×2 latents."""
    blocks = [("double", number) for number in range(19)] + [("single", number) for number in range(38)]
    return tuple(AttentionLayer(stage, number, level=1, heads=24) for stage, number in blocks)


#: The networks of Learn-to-Steer's released classifiers, by the names of their experiments.
PUBLISHED_NETWORKS = {
    "sd14": _stable_diffusion((8, 8, 8, 8)),
    "sd2": _stable_diffusion((5, 10, 20, 20)),
    "flux_schnell": _flux(),
    "flux_dev": _flux(),
}


def describe_network(layers: Sequence[AttentionLayer]) -> str:
    """Such as "a network with 10 attention layers: down.0 (2 heads, 1:1), mid.0 (2 heads, 1:2) …"."""
    described = ", ".join(f"{layer.name} ({layer.heads} heads, 1:{2**layer.level})" for layer in layers)
    return f"a network with {len(layers)} attention layers: {described}"


def check_layers(wanted: Sequence[str], layers: Sequence[AttentionLayer]) -> tuple[str, ...]:
    """The wanted names in running order.

    Raises:
        ValueError: a name is not among the network's layers, or none is wanted; or one text is given for names.
    """
    if isinstance(wanted, str):
        raise ValueError(f"Attention layers: names were expected, such as ({wanted!r},), not one text.")
    names = [layer.name for layer in layers]
    unknown = sorted(set(wanted) - set(names))
    if unknown or not wanted:
        raise ValueError(
            f"Attention layers must be among {', '.join(names)}; "
            + (f"unknown: {', '.join(unknown)}." if unknown else "none was given.")
        )
    return tuple(name for name in names if name in wanted)
