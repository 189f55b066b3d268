"""A loss that separates the maps of two objects by their Jensen–Shannon divergence, after FOCUS (arXiv 2510.02315).

After the paper's released code (``ericbill21/FOCUS``, src/losses.py and src/controller.py, read and not copied): the
mean of the maps over heads and layers, smoothed with a Gaussian of one cell, cubed and brought to sum 1; the
divergence of the subjects' maps from their mean, over the logarithm of their number; every step bends the velocity
once. Left out is the term that holds the maps of one subject's tokens together, since the maps here are means over
them. It asks for no direction, so that by itself it says nothing of a relation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from steering_core.layers import AttentionLayer, check_layers, default_layers
from steering_core.losses import MapsRead
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation
from steering_core.token_maps import TokenMaps, normalise, smoothed
from steering_core.tokens import GroundedRelation

_SIGMA = 1.0
#: The power that makes a map's peaks count for more.
_POWER = 3


@dataclass(frozen=True)
class SeparationLoss:
    """1 minus the divergence of two objects' maps: 0 where they share no cell, 1 where they are equal.

    Attributes:
        layers: names of the layers whose maps are read; the network's ``default_layers`` when none is named.
        over_all_keys: see ``CentroidLoss``.
    """

    layers: tuple[str, ...] = ()
    over_all_keys: bool = False

    @property
    def reads(self) -> MapsRead:
        """See ``SteeringLoss``; the network's own attention, as published."""
        return MapsRead(self.layers, over_all_keys=self.over_all_keys)

    def for_network(self, network: Sequence[AttentionLayer], relations: Sequence[Relation | Place]) -> SeparationLoss:
        """See ``SteeringLoss``; the kind of relation does not matter."""
        return replace(self, layers=check_layers(self.layers or default_layers(network), network))

    def __call__(self, maps: TokenMaps, relation: GroundedRelation, progress: float) -> Tensor:
        """See ``SteeringLoss``; the same at every step."""
        mean = maps.mean_of(self.layers, relation.ends)
        return 1 - divergence(normalise(smoothed(mean, _SIGMA) ** _POWER))


def divergence(maps: Tensor) -> Tensor:
    """Jensen–Shannon's of the maps of each image, (batch,) in [0, 1].

    Args:
        maps: (batch, objects, H, W), each summing to 1.
    """
    together = maps.mean(dim=1, keepdim=True)
    least = torch.finfo(maps.dtype).tiny
    from_mean = maps * (maps.clamp_min(least).log() - together.clamp_min(least).log())
    return from_mean.sum(dim=(-2, -1)).mean(dim=1) / math.log(maps.shape[1])
