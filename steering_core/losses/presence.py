"""The presence loss of Attend-and-Excite (Chefer et al. 2023, section 3): each object is to have a place somewhere.

As its authors publish it: of the maps at 16 × 16, the mean over heads and layers; it is sharpened by a softmax of
100 × the map over the prompt's words, without start and end (which is what they do for Stable Diffusion 2.1; for 1.4
end and padding take part); a Gaussian of half a cell smooths; the loss is that of the object's token whose strongest
cell is weakest, of all objects. The thresholds that rise with the steps there belong to its schedule, not to the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..indices import rows_of
from ..layers import AttentionLayer, check_layers, presence_layers
from ..relations.place import Place
from ..relations.relation import Relation
from ..token_maps import TokenMaps, smoothed
from ..tokens import GroundedRelation
from .base import MapsRead

_SHARPNESS = 100.0
#: Of the Gaussian that keeps a single cell from passing for an object.
_SMOOTHING_SIGMA = 0.5


@dataclass(frozen=True)
class PresenceLoss:
    """1 minus the strongest attention, beside the prompt's other words, that the weakest token of any object has.

    It lies in [0, 1], is the same for every relation of a scene, and does not mind where an object is.

    Attributes:
        layers: names of the layers whose maps are read; the network's ``presence_layers`` when none is named.
        over_all_keys: see ``CentroidLoss``.
    """

    layers: tuple[str, ...] = ()
    over_all_keys: bool = False

    @property
    def reads(self) -> MapsRead:
        """See ``SteeringLoss``; an object's tokens are held against the other words, in published attention."""
        return MapsRead(self.layers, words=True, over_all_keys=self.over_all_keys)

    def for_network(self, network: Sequence[AttentionLayer], relations: Sequence[Relation | Place]) -> PresenceLoss:
        """See ``SteeringLoss``; the kind of relation does not matter."""
        return replace(self, layers=check_layers(self.layers or presence_layers(network), network))

    def __call__(self, maps: TokenMaps, relation: GroundedRelation, progress: float) -> Tensor:
        """See ``SteeringLoss``; the same at every step."""
        assert maps.words is not None
        sharpened = (_SHARPNESS * maps.words.mean_of(self.layers)).softmax(dim=1)
        peaks = smoothed(sharpened, _SMOOTHING_SIGMA).amax(dim=(-2, -1))
        return 1 - rows_of(peaks, 1, [word for words in maps.words.objects for word in words]).amin(dim=1)
