"""Losses: functions of token maps and one relation, one value per image."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ..token_maps import TokenMaps
from ..tokens import GroundedRelation
from .centroid import CentroidLoss

__all__ = ["CentroidLoss", "SteeringLoss"]


class SteeringLoss(Protocol):
    """What the steering loop asks of a loss."""

    def __call__(self, maps: TokenMaps, relation: GroundedRelation, progress: float) -> Tensor:
        """The loss of each image.

        Args:
            maps: of the current latent, in the autograd graph.
            relation: between two of the maps' objects.
            progress: share of the sampling schedule that is done, in [0, 1).

        Returns:
            (batch,), smaller where the relation is nearer to true.
        """
