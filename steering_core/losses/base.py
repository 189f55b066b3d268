"""What the steering loop asks of a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from ..layers import AttentionLayer
from ..relations import Place, Relation
from ..token_maps import TokenMaps
from ..tokens import GroundedRelation


class SteeringLoss(Protocol):
    """Scores one relation, or the place of one object, in token maps."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that it reads; none before it is bound, where the network decides."""

    @property
    def over_all_keys(self) -> bool:
        """Whether the softmax of its maps runs over all keys of a joint attention, not the text's alone."""

    @property
    def reads_words(self) -> bool:
        """Whether it reads the maps of all of the prompt's words (``TokenMaps.words``)."""

    @property
    def standardised_layers(self) -> tuple[str, ...]:
        """Names of those layers whose maps it reads of standardised logits (``TokenMaps.standardised``)."""

    @property
    def follows_own(self) -> bool:
        """Whether it reads maps of the network's own logits, so that a gradient is to pass through those."""

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
