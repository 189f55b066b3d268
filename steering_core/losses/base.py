"""What the steering loop asks of a loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..layers import AttentionLayer
from ..relations.place import Place
from ..relations.relation import Relation
from ..token_maps import TokenMaps
from ..tokens import GroundedRelation


@dataclass(frozen=True)
class MapsRead:
    """Which maps a loss reads, and when.

    Attributes:
        layers: names of the layers whose maps it reads as the network attends (``TokenMaps.layers``).
        standardised: names of those whose maps it reads of standardised logits (``TokenMaps.standardised``).
        words: it reads the maps of all of the prompt's words, of ``layers``, besides those of its objects
            (``TokenMaps.words``).
        over_all_keys: the softmax of the maps runs over all keys of a joint attention, not over the text's alone.
        each_step: of one relation it wants to read them in each step of the window; else every other one will do.
    """

    layers: tuple[str, ...] = ()
    standardised: tuple[str, ...] = ()
    words: bool = False
    over_all_keys: bool = False
    each_step: bool = True

    @property
    def all_layers(self) -> tuple[str, ...]:
        """Those that are read in either way, once."""
        return _once((*self.layers, *self.standardised))

    @classmethod
    def together(cls, several: Sequence[MapsRead]) -> MapsRead:
        """All that several losses read, one or more, whose softmax runs over the same keys."""
        return cls(
            layers=_once(name for one in several for name in one.layers),
            standardised=_once(name for one in several for name in one.standardised),
            words=any(one.words for one in several),
            over_all_keys=several[0].over_all_keys,
            each_step=any(one.each_step for one in several),
        )


class SteeringLoss(Protocol):
    """Scores one relation, or the place of one object, in token maps.

    A loss of one's own needs no more than these three, such as one that is smaller the less an object's map spreads::

        class SpreadLoss:
            def __init__(self, layers=()):
                self.reads = MapsRead(layers)

            def for_network(self, network, relations):
                return SpreadLoss(default_layers(network))

            def __call__(self, maps, relation, progress):
                return variances(maps.mean_of(self.reads.layers, relation.ends)).sum(dim=1)
    """

    @property
    def reads(self) -> MapsRead:
        """Which maps are to be there when it is called; the layers are known once it is tied to a network."""

    def for_network(self, network: Sequence[AttentionLayer], relations: Sequence[Relation | Place]) -> SteeringLoss:
        """The loss for a run: with its layers chosen among the network's.

        Raises:
            ValueError: it cannot read this network, or cannot score one of the relations.
        """

    def __call__(self, maps: TokenMaps, relation: GroundedRelation, progress: float) -> Tensor:
        """The loss of each image.

        Args:
            maps: of the current latent, in the autograd graph.
            relation: between two of the maps' objects, or of one to the picture.
            progress: share of the diffusion time that is done: 0 at the noisiest step, 1 at the clean image.

        Returns:
            (batch,), smaller where the relation is nearer to true.
        """


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
