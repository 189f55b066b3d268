"""The relation network of Learn-to-Steer.

It sees, for two objects, the model's token maps of many layers and heads, and tells which relation
the objects have in the picture that is being drawn. Modules are named as in the authors' released
checkpoints, so that their weights load unchanged.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import (
    Dropout,
    Embedding,
    LayerNorm,
    LeakyReLU,
    Linear,
    Module,
    MultiheadAttention,
    Parameter,
    Sequential,
    TransformerEncoder,
    TransformerEncoderLayer,
)

from ..wording import brief
from .layout import MapLayout
from .settings import MOST_RELATIONS, ClassifierSettings, TransformerSettings

_HEAD_WIDTHS = (256, 128)
_HEAD_SLOPE = 0.1
NEAREST, UP = ROUNDINGS = ("nearest", "up")
#: Of a step: what a share such as 0.58 of 50 may lose in floating point.
_SLACK = 1e-6
#: The classifier's transformer sees a sequence of one, but its table of positions is this long.
_CLASSIFIER_POSITIONS = 256


class _Positions(Module):
    """Sinusoidal positions, added to (batch, length, width)."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        position = torch.arange(length)[:, None]
        frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        table = torch.zeros(1, length, width)
        table[0, :, 0::2] = torch.sin(position * frequency)
        table[0, :, 1::2] = torch.cos(position * frequency)
        self.pe: Tensor
        self.register_buffer("pe", table)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.shape[1]]


def _transformer(width: int, settings: TransformerSettings) -> TransformerEncoder:
    layer = TransformerEncoderLayer(
        width, settings.heads, settings.feed_forward, settings.dropout, batch_first=True, norm_first=True
    )
    return TransformerEncoder(layer, settings.layers, enable_nested_tensor=False)


class _Extractor(Module):
    """One object's stack of maps (batch, maps, H, W) to one map (batch, H, W)."""

    def __init__(self, positions: int, settings: ClassifierSettings) -> None:
        super().__init__()
        cells, width = settings.map_size**2, settings.width
        self.input_projection = Linear(cells, width)
        if settings.time_before != "none":
            self.timestep_embedding = Embedding(settings.steps, width)
        self.positional_encoding = _Positions(width, positions)
        self.transformer = _transformer(width, settings.extractor)
        self.query_vector = Parameter(torch.randn(1, 1, width))
        self.layer_attention = MultiheadAttention(width, settings.aggregation_heads, batch_first=True)
        self.output_projection = Linear(width, cells)
        self._time_before = settings.time_before

    def forward(self, maps: Tensor, step: Tensor) -> Tensor:
        x = self.positional_encoding(self.input_projection(maps.flatten(2)))
        if self._time_before == "none":
            x = self.transformer(x)
        else:
            time = self.timestep_embedding(step)[:, None]
            for number, layer in enumerate(self.transformer.layers):
                x = layer(x + time if number == 0 or self._time_before == "every_layer" else x)
        query = self.query_vector.expand(len(x), -1, -1)
        gathered, _ = self.layer_attention(query, x, x, need_weights=False)
        return self.output_projection(gathered.squeeze(1)).unflatten(1, maps.shape[-2:])


class _MeanExtractor(Module):
    """The mean of the stack."""

    def forward(self, maps: Tensor, step: Tensor) -> Tensor:
        return maps.mean(dim=1)


class _Classifier(Module):
    """Two maps (batch, 2, H, W) to the logits of the relations."""

    def __init__(self, relations: int, settings: ClassifierSettings) -> None:
        super().__init__()
        width, dropout = settings.width, settings.classifier.dropout
        if settings.time_width:
            self.timestep_embedding = Embedding(settings.steps, settings.time_width)
        self.positional_encoding = _Positions(width, _CLASSIFIER_POSITIONS)
        self.projection = Linear(2 * settings.map_size**2, width)
        self.transformer = _transformer(width, settings.classifier)
        widths, parts = (width + settings.time_width, *_HEAD_WIDTHS), []
        for before, after in itertools.pairwise(widths):
            parts += [Linear(before, after), LayerNorm(after), LeakyReLU(_HEAD_SLOPE), Dropout(dropout)]
        self.fc = Sequential(*parts, Linear(widths[-1], relations))
        self._sees_time = settings.time_width > 0

    def forward(self, maps: Tensor, step: Tensor) -> Tensor:
        x = self.transformer(self.positional_encoding(self.projection(maps.flatten(1))[:, None])).squeeze(1)
        if self._sees_time:
            x = torch.cat([x, self.timestep_embedding(step)], dim=1)
        return self.fc(x)


class RelationClassifier(Module):
    """Which relation two objects have, told from their token maps (Learn-to-Steer).

    An extractor, shared by both objects, turns an object's stack of maps into one map; a
    classifier tells the relation from the two.

    Args:
        relations: names in the order of the logits; those of ``Relation`` can be steered.
        layout: what the stack holds.
        settings: sizes; ``map_size`` is the layout's.
        trained_steps: the parts of the diffusion time that it has learned, ascending, each in
            [0, settings.steps); part 0 begins at the strongest noise.
        positions: length of the table of positions over the stack; the stack's own when not given.
        rounding: to which trained step another one is moved: the ``nearest``, or the next one ``up``, toward less
            noise.

    Raises:
        ValueError: the stack is longer than the table, the sizes do not fit each other, a name of
            a relation is not one of its own, or the trained steps are not ascending or outside their range.
    """

    def __init__(
        self,
        relations: Sequence[str],
        layout: MapLayout,
        settings: ClassifierSettings,
        trained_steps: Sequence[int],
        positions: int | None = None,
        rounding: str = NEAREST,
    ) -> None:
        super().__init__()
        self.relations, self.layout, self.settings = tuple(relations), layout, settings
        self.trained_steps, self.positions = tuple(trained_steps), positions or layout.maps
        self.rounding = rounding
        if layout.map_size != settings.map_size:
            raise ValueError(f"Maps of side {settings.map_size} were expected, not a layout of {layout.map_size}.")
        if layout.maps > self.positions:
            raise ValueError(f"At most {self.positions} maps can be read; the layout has {layout}.")
        if not self.trained_steps or not all(0 <= step < settings.steps for step in self.trained_steps):
            raise ValueError(f"trained_steps must lie in 0 to {settings.steps - 1}, not {brief(self.trained_steps)}.")
        if rounding not in ROUNDINGS:
            raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, not {brief(rounding)}.")
        if list(self.trained_steps) != sorted(set(self.trained_steps)):
            raise ValueError(f"trained_steps must ascend, not be {brief(self.trained_steps)}.")
        if not 0 < len(set(self.relations)) == len(self.relations) <= MOST_RELATIONS:
            raise ValueError(f"relations must be {MOST_RELATIONS} different ones at most, not {brief(self.relations)}.")
        self.object_extractor: Module = _MeanExtractor() if settings.mean_maps else _Extractor(self.positions, settings)
        self.relation_classifier = _Classifier(len(self.relations), settings)

    def forward(self, maps: Tensor, step: Tensor) -> Tensor:
        """Logits (batch, relations).

        Args:
            maps: (batch, 2, maps, map_size, map_size), as from ``MapLayout.stack``: subject, object.
            step: part of the diffusion time, (batch,), whole numbers in [0, settings.steps).
        """
        pair = [self.object_extractor(maps[:, position], step) for position in (0, 1)]
        return self.relation_classifier(torch.stack(pair, dim=1), step)

    def trained_step(self, progress: float) -> int:
        """The trained step for a share of the diffusion time.

        That is the nearest, of two as near the later; or, rounded up, the first that is no earlier, else the last.
        """
        part = int(progress * self.settings.steps + _SLACK)
        if self.rounding == UP:
            return next((step for step in self.trained_steps if step >= part), self.trained_steps[-1])
        return min(self.trained_steps, key=lambda step: (abs(step - part), -step))


@dataclass(frozen=True)
class ClassifierDescription:
    """All that makes a classifier but its weights; of the parts, see ``RelationClassifier``."""

    relations: tuple[str, ...]
    layout: MapLayout
    settings: ClassifierSettings
    trained_steps: tuple[int, ...]
    positions: int
    rounding: str

    @classmethod
    def of(cls, classifier: RelationClassifier) -> ClassifierDescription:
        """That of a classifier."""
        return cls(
            classifier.relations,
            classifier.layout,
            classifier.settings,
            classifier.trained_steps,
            classifier.positions,
            classifier.rounding,
        )

    def without_weights(self) -> RelationClassifier:
        """The classifier, whose parameters have shapes and take no memory."""
        with torch.device("meta"):
            return RelationClassifier(
                self.relations, self.layout, self.settings, self.trained_steps, self.positions, self.rounding
            )
