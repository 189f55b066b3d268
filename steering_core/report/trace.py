"""What steering saw while it ran."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..presence import Presence
from ..tokens import GroundedRelation


@dataclass(frozen=True)
class TraceEntry:
    """What one probe saw.

    Attributes:
        step: sampling step, from 0.
        refinement: number of the probe within the step, from 0.
        relations: the relations that were scored, as positions in the scene.
        loss: of each of these relations, (relations, batch).
        centroids: (batch, objects, 2) in (0, 1), of the mean map, thresholded.
        gradient_norm: Euclidean norm of each image's gradient, (batch,).
        mean_map: each object's map, mean over layers and heads, (batch, objects, H, W), summing to 1.
        strength: mean attention that each object gets, (batch, objects), in [0, 1].
        met: which of these relations have met the target, and are left alone, (relations, batch).
    """

    step: int
    refinement: int
    relations: tuple[int, ...]
    loss: Tensor
    centroids: Tensor
    gradient_norm: Tensor
    mean_map: Tensor
    strength: Tensor
    met: Tensor

    @property
    def presence(self) -> Presence:
        """How present each object is in the maps."""
        return Presence.of(self.mean_map, self.strength)

    def loss_of(self, number: int) -> Tensor:
        """Of a relation among those scored, (batch,)."""
        return self.loss[self.relations.index(number)]

    def met_by(self, number: int) -> Tensor:
        """Whether a relation among those scored has met the target, (batch,)."""
        return self.met[self.relations.index(number)]

    def stands(self, relation: GroundedRelation) -> list[bool]:
        """Whether the centres stand in a relation, in each image."""
        return [relation.relation.holds(*(image[end] for end in relation.ends)) for image in self.centroids.tolist()]

    def with_images(self, other: TraceEntry, places: Mapping[int, int]) -> TraceEntry:
        """The entry with some images from another one of the same step and relations.

        Args:
            places: by the image's position here that in the other batch.
        """
        here, there = torch.tensor(list(places)), torch.tensor(list(places.values()))

        def taken(mine: Tensor, theirs: Tensor, axis: int = 0) -> Tensor:
            return mine.index_copy(axis, here, theirs.index_select(axis, there))

        return replace(
            self,
            loss=taken(self.loss, other.loss, axis=1),
            centroids=taken(self.centroids, other.centroids),
            met=taken(self.met, other.met, axis=1),
            gradient_norm=taken(self.gradient_norm, other.gradient_norm),
            mean_map=taken(self.mean_map, other.mean_map),
            strength=taken(self.strength, other.strength),
        )

    def as_json(self) -> dict[str, Any]:
        """The entry without its map, in plain lists and numbers."""
        return {
            "step": self.step,
            "refinement": self.refinement,
            "relations": list(self.relations),
            "loss": as_numbers(self.loss),
            "centroids": as_numbers(self.centroids),
            "gradient_norm": as_numbers(self.gradient_norm),
            "strength": as_numbers(self.strength),
        }


def scoring(entries: Sequence[TraceEntry], number: int) -> list[TraceEntry]:
    """The probes that scored a relation, given its position in the scene."""
    return [entry for entry in entries if number in entry.relations]


def as_numbers(values: Tensor) -> list[Any]:
    """Nested lists, None in the place of what is not a finite number: JSON has no other."""
    return _strict(values.tolist())


def _strict(value: Any) -> Any:
    if isinstance(value, list):
        return [_strict(part) for part in value]
    return value if math.isfinite(value) else None
