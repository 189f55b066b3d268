"""A presence loss after Attend-and-Excite (Chefer et al. 2023, section 3), in outline.

As there, the weaker object's strongest smoothed attention counts. Unlike there, it is the weaker of a relation's two
and not of all objects, the start token is not dropped and the maps are not sharpened before, the layers are the
steering's own, and there are no thresholds that rise with the steps. On the miniature no difference was found in how
many objects go missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..layers import AttentionLayer, check_layers, default_layers
from ..relations import Place, Relation
from ..token_maps import TokenMaps, smoothed
from ..tokens import GroundedRelation

#: Of the Gaussian that keeps a single cell from passing for an object: 3×3, sigma 0.5, as in that work.
_SMOOTHING_SIGMA = 0.5


@dataclass(frozen=True)
class PresenceLoss:
    """1 minus the strongest attention that the weaker of two objects has anywhere; of a place, the only one.

    The map is the mean over layers and heads, smoothed. The loss lies in [0, 1]; it does not mind
    where an object is, only that it has a place.

    Attributes:
        layers: names of the layers whose maps are read; the network's ``default_layers`` when none is named.
        over_all_keys: see ``CentroidLoss``.
    """

    layers: tuple[str, ...] = ()
    over_all_keys: bool = False

    def bound_to(self, network: Sequence[AttentionLayer], relations: Sequence[Relation | Place]) -> PresenceLoss:
        """See ``SteeringLoss``; the kind of relation does not matter."""
        return replace(self, layers=check_layers(self.layers or default_layers(network), network))

    def __call__(self, maps: TokenMaps, relation: GroundedRelation, progress: float) -> Tensor:
        """See ``SteeringLoss``; the same at every step."""
        mean = maps.mean_of(self.layers, relation.ends)
        return 1 - smoothed(mean, _SMOOTHING_SIGMA).amax(dim=(-2, -1)).amin(dim=1)
