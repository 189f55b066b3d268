"""The centroid losses of InfSplign (thesis of V. Chatalbasheva, chapter 2, eq. 7 to 12).

Taken from the thesis: maps thresholded at their mean, the displacement and f with its scale and margin, and the
orthogonal term. The method's released code differs: it thresholds nothing, weighs the l2 term half, and asks of
objects that are next to each other, by f(alpha·(m - |x1 - x2|)), only that they are the margin apart on the horizontal
axis. From that code come the outlines of the presence and the balance term, which the thesis lacks. Its divisor of the
centroid is corrected (``token_maps.centroids``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..indices import rows_of
from ..layers import AttentionLayer, check_layers, default_layers
from ..relations.place import MIDDLE, Place
from ..relations.relation import Relation
from ..token_maps import TokenMaps, centroids, threshold_at_mean, variances
from ..tokens import GroundedRelation
from .base import MapsRead

#: The scale alpha and margin m that the thesis found best for each f (sections 5.2 and 5.5), on Stable Diffusion 1.4
#: and with the l2 orthogonal term, which is off by default here.
PAPER_SETTINGS: dict[str, dict[str, float]] = {
    "relu": {"alpha": 0.75, "margin": 0.25},
    "leaky_relu": {"alpha": 2.0, "margin": 0.25},
    "gelu": {"alpha": 2.0, "margin": 0.25},
    "sigmoid": {"alpha": 8.0, "margin": 0.0},
}
FUNCTIONS = tuple(PAPER_SETTINGS)
ORTHOGONAL_NORMS = {"none": 0, "l1": 1, "l2": 2}


@dataclass(frozen=True)
class CentroidLoss:
    """f(alpha·(m - d)) on the displacement d of two objects' centroids, or of one in the picture; and optional terms.

    The loss is computed on every layer's head-averaged, mean-thresholded map, and averaged over
    the layers. d is measured along the relation's axis in widths of the image (eq. 8); a diagonal
    is the sum of its two axes; for ``near``, d is how far the distance falls short of
    ``NEAR_DISTANCE``.

    A place in the picture is a relation to its middle, with the same margin: at a side, d is how far the centroid lies
    beyond the middle, and in a corner the sum of both axes. In the center, d is how far the root mean square distance
    of the map's mass from the middle falls short of ``CENTER_DISTANCE``, for the centroid of attention that is nowhere
    yet lies in the middle too: by the centroid alone the miniature put few objects there.

    Attributes:
        function: f, one of ``FUNCTIONS``.
        alpha: scale, greater than 0; ``PAPER_SETTINGS`` of f when not given.
        margin: distance m in [0, 1) that the centroids should keep; likewise.
        leaky_slope: slope of the leaky ReLU below zero; 0.1 serves best in table 9.
        orthogonal: norm of the displacement across the axis, ``none``, ``l1`` or ``l2`` (eq. 11).
        orthogonal_weight: its weight; 1 in eq. 12.
        presence_weight: weight of the two maps' variances, which are small where each object has
            a place of its own; on the coarsest layers, as in the method's released code.
        balance_weight: weight of the difference of the two variances; on the finer layers, likewise, and on all
            where they have one size. Of neither was a difference found in the miniature's pictures.
        layers: names of the layers whose maps are read; the network's ``default_layers`` when none is named.
        over_all_keys: in a joint attention, of text and image in one sequence, the softmax of a map runs over the
            text's keys alone, as Learn-to-Steer reads it; with this it runs over all, so that a map also shrinks
            where the image looks at itself.
        standardised: the maps are of logits brought to one contrast, so that the loss is indifferent to how flat or
            sharp a network's attention is; else of the network's own, as published.

    Raises:
        ValueError: a setting is outside its range.
    """

    function: str = "gelu"
    alpha: float | None = None
    margin: float | None = None
    leaky_slope: float = 0.1
    orthogonal: str = "none"
    orthogonal_weight: float = 1.0
    presence_weight: float = 0.0
    balance_weight: float = 0.0
    layers: tuple[str, ...] = ()
    over_all_keys: bool = False
    standardised: bool = True

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ValueError(f"function must be one of {', '.join(FUNCTIONS)}, not {self.function!r}.")
        if self.orthogonal not in ORTHOGONAL_NORMS:
            raise ValueError(f"orthogonal must be one of {', '.join(ORTHOGONAL_NORMS)}, not {self.orthogonal!r}.")
        if not 0 < self._setting("alpha") < math.inf:
            raise ValueError(f"alpha must be a number greater than 0, not {self.alpha}.")
        if not 0 <= self._setting("margin") < 1:
            raise ValueError(f"margin must lie in [0, 1), not {self.margin}.")
        for name in ("leaky_slope", "orthogonal_weight", "presence_weight", "balance_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number, 0 or more, not {getattr(self, name)}.")

    def resolved(self) -> CentroidLoss:
        """The same loss, its scale and margin given as the numbers that it computes with."""
        return replace(self, alpha=self._setting("alpha"), margin=self._setting("margin"))

    def _setting(self, name: str) -> float:
        """``alpha`` or ``margin``."""
        given = getattr(self, name)
        return PAPER_SETTINGS[self.function][name] if given is None else given

    @property
    def reads(self) -> MapsRead:
        """See ``SteeringLoss``; an object's map is the mean of its tokens'."""
        own, standardised = ((), self.layers) if self.standardised else (self.layers, ())
        return MapsRead(own, standardised, over_all_keys=self.over_all_keys, each_step=False)

    def for_network(self, network: Sequence[AttentionLayer], relations: Sequence[Relation | Place]) -> CentroidLoss:
        """See ``SteeringLoss``; every relation can be scored."""
        return replace(self, layers=check_layers(self.layers or default_layers(network), network))

    def __call__(self, maps: TokenMaps, relation: GroundedRelation, progress: float) -> Tensor:
        """See ``SteeringLoss``; the centroid losses are the same at every step."""
        layers = maps.of(self.layers, self.standardised)
        coarsest = min(layer.shape[-2] * layer.shape[-1] for layer in layers)
        several_sizes = any(layer.shape[-2] * layer.shape[-1] > coarsest for layer in layers)
        terms = []
        for layer in layers:
            objects = threshold_at_mean(rows_of(layer, 1, relation.ends).mean(dim=2))
            terms.append(self._placement(objects, relation.relation))
            is_coarsest = layer.shape[-2] * layer.shape[-1] == coarsest
            if self.presence_weight and is_coarsest:
                terms.append(self.presence_weight * variances(objects).sum(dim=1))
            if self.balance_weight and relation.object is not None and not (is_coarsest and several_sizes):
                spread = variances(objects)
                terms.append(self.balance_weight * (spread[:, 0] - spread[:, 1]).abs())
        return torch.stack(terms).sum(dim=0) / len(layers)

    def _placement(self, objects: Tensor, relation: Relation | Place) -> Tensor:
        """Spatial and orthogonal term, eq. 9 and 11, of thresholded maps (batch, 1 or 2, H, W)."""
        is_place = isinstance(relation, Place)
        centres = centroids(objects)
        if is_place:
            difference = torch.stack([centres[:, 0, axis] - middle for axis, middle in enumerate(MIDDLE)], dim=-1)
        else:
            difference = centres[:, 0] - centres[:, 1]
        signs = relation.direction
        if relation is Place.AT_CENTER:
            squared = difference.square().sum(dim=-1) + variances(objects)[:, 0]
            # The root of 0 has no gradient: all mass is one cell in the middle.
            distance = squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()
            return self._penalty(relation.reach - distance)
        if not any(signs):
            return self._penalty(relation.reach - difference.norm(dim=-1))
        terms = [self._penalty(difference[:, axis] * sign) for axis, sign in enumerate(signs) if sign]
        norm = ORTHOGONAL_NORMS[self.orthogonal]
        if norm and 0 in signs and not is_place:  # what is on the left may be at any height
            terms.append(self.orthogonal_weight * difference[:, signs.index(0)].abs() ** norm)
        return torch.stack(terms).sum(dim=0)

    def _penalty(self, displacement: Tensor) -> Tensor:
        """f(alpha·(m - d))."""
        short = self._setting("margin") - displacement
        return _FUNCTIONS[self.function](self._setting("alpha") * short, self.leaky_slope)


_FUNCTIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "relu": lambda x, slope: F.relu(x),
    "leaky_relu": F.leaky_relu,
    "gelu": lambda x, slope: F.gelu(x),
    "sigmoid": lambda x, slope: x.sigmoid(),
}
