"""Several losses as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..layers import AttentionLayer
from ..relations.place import Place
from ..relations.relation import Relation
from ..token_maps import TokenMaps
from ..tokens import GroundedRelation
from ..wording import brief
from .base import MapsRead, SteeringLoss
from .centroid import CentroidLoss
from .learned import LearnedLoss


@dataclass(frozen=True)
class CombinedLoss:
    """The weighted sum of losses; each reads its own layers of one probe.

    What a learned loss does not know, such as "next to" and the place of an object in the picture, is left to the
    others where a centroid loss is among them.

    Attributes:
        terms: each loss with its weight, greater than 0; of a combination among them its own terms.

    Raises:
        ValueError: there is no term, one is no pair, a weight is not a number greater than 0, or some losses read a
            softmax over all keys and some do not.
    """

    terms: tuple[tuple[SteeringLoss, float], ...]

    def __post_init__(self) -> None:
        if not self.terms:
            raise ValueError("At least one loss was expected to combine, got none.")
        if wrong := next((term for term in self.terms if not (isinstance(term, Sequence) and len(term) == 2)), None):
            raise ValueError(f"Terms of a combined loss must be pairs of a loss and its weight, not {brief(wrong)}.")
        for _, weight in self.terms:
            if not 0 < weight < math.inf:
                raise ValueError(
                    f"The weight of a combined loss must be a number greater than 0, not {weight}. Leave it out."
                )
        object.__setattr__(self, "terms", tuple(_flat(self.terms)))
        if len({loss.reads.over_all_keys for loss, _ in self.terms}) > 1:
            raise ValueError(
                "Losses that read a softmax over all keys cannot be combined with losses over the text's keys, as a "
                "learned loss is. Set all of them to the text's."
            )

    @property
    def reads(self) -> MapsRead:
        """See ``SteeringLoss``; all that its terms read."""
        return MapsRead.together([loss.reads for loss, _ in self.terms])

    def for_network(self, network: Sequence[AttentionLayer], relations: Sequence[Relation | Place]) -> CombinedLoss:
        """See ``SteeringLoss``."""
        return CombinedLoss(
            tuple(
                (
                    loss.for_network(network, [one for one in relations if self._scores(loss, one)]),
                    weight,
                )
                for loss, weight in self.terms
            )
        )

    def __call__(self, maps: TokenMaps, relation: GroundedRelation, progress: float) -> Tensor:
        """See ``SteeringLoss``."""
        terms = [(loss, weight) for loss, weight in self.terms if self._scores(loss, relation.relation)]
        return torch.stack([weight * loss(maps, relation, progress) for loss, weight in terms]).sum(dim=0)

    def _scores(self, loss: SteeringLoss, relation: Relation | Place) -> bool:
        """Whether a term is asked for a relation; without a centroid loss all are, and a learned one may refuse it."""
        placing = any(isinstance(term, CentroidLoss) for term, _ in self.terms)
        return not (placing and isinstance(loss, LearnedLoss) and not loss.knows(relation))


def _flat(terms: Iterable[tuple[SteeringLoss, float]]) -> Iterator[tuple[SteeringLoss, float]]:
    for loss, weight in terms:
        if isinstance(loss, CombinedLoss):
            yield from ((inner, weight * of_inner) for inner, of_inner in loss.terms)
        else:
            yield loss, weight
