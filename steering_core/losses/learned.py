"""The learned loss of Learn-to-Steer: what a relation classifier says of the maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..classifier import RelationClassifier
from ..indices import rows_of
from ..layers import AttentionLayer, describe_network
from ..relations.place import Place
from ..relations.relation import Relation
from ..token_maps import TokenMaps
from ..tokens import GroundedRelation
from .base import MapsRead


@dataclass(frozen=True)
class LearnedLoss:
    """Cross-entropy of the wanted relation under a classifier of token maps.

    A diagonal that the classifier has no name for is its two directions together: the mean of their
    cross-entropies, less the log 2 that is left where they share all the probability. So 0 is the
    best of every relation.

    Attributes:
        classifier: for evaluation; it is moved to the maps' device.
    """

    classifier: RelationClassifier

    @property
    def reads(self) -> MapsRead:
        """See ``SteeringLoss``; the classifiers are trained on the network's own attention to the text's keys."""
        return MapsRead(self.classifier.layout.layers)

    def for_network(self, network: Sequence[AttentionLayer], relations: Sequence[Relation | Place]) -> LearnedLoss:
        """See ``SteeringLoss``; only the very network that the classifier was made for can be read."""
        layout = self.classifier.layout
        if tuple(network) != layout.network:
            raise ValueError(
                f"The relation classifier reads {layout}, but this model is {describe_network(network)}. Use a "
                f"classifier that was trained on this model, or another loss."
            )
        for relation in relations:
            self._wanted(relation)
        return self

    def __call__(self, maps: TokenMaps, relation: GroundedRelation, progress: float) -> Tensor:
        """See ``SteeringLoss``."""
        stack = self.classifier.layout.stack(maps, relation.ends)
        step = self.classifier.trained_step(progress)
        classifier = self.classifier.to(stack.device)
        steps = torch.full((len(stack),), step, device=stack.device)
        wanted = self._wanted(relation.relation)
        probabilities = rows_of(classifier(stack, steps).log_softmax(dim=1), 1, wanted)
        return -probabilities.mean(dim=1) - math.log(len(wanted))

    def knows(self, relation: Relation | Place) -> bool:
        """Whether the classifier has a name for a relation, or for the two directions of a diagonal."""
        return isinstance(relation, Relation) and bool(self._names(relation))

    def _names(self, relation: Relation) -> list[str]:
        """What the classifier calls a relation; of a diagonal perhaps its two directions, and nothing if unknown."""
        known = self.classifier.relations
        parts = (relation,) if relation.value in known else relation.directions
        names = [part.value for part in parts]
        return names if set(names) <= set(known) else []

    def _wanted(self, relation: Relation | Place) -> list[int]:
        """Positions of the relation, or of its two directions, among the classifier's."""
        known = self.classifier.relations
        if isinstance(relation, Place):
            raise ValueError(
                f'The relation classifier does not know "{relation.phrase}", a place in the picture, only relations '
                f"between objects. Combine it with the centroid loss, which then scores the place, or leave the "
                f"place out."
            )
        names = self._names(relation)
        if not names:
            raise ValueError(
                f'The relation classifier does not know "{relation.phrase}", only {", ".join(known)}. Combine it with '
                f"the centroid loss, which then scores that relation, or use the centroid loss alone."
            )
        return [known.index(name) for name in names]
