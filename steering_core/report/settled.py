"""Where the attention to each relation's objects stood when steering last looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..relations.wording import clause
from ..tokens import GroundedScene
from .how_far import how_far
from .trace import TraceEntry, as_numbers, scoring


@dataclass(frozen=True)
class Settled:
    """Where the attention to a relation's objects stood in each picture of a batch when steering last looked.

    It tells nothing of the finished picture.

    Attributes:
        number: of the relation in the scene.
        subject, phrase, object: the relation in words; of a place no object.
        step: of the last look, from 0.
        before, after: the relation's loss at the first and at the last probe that scored it, (batch,).
        stands: whether the centroids of the last look stand in the relation, (batch,).
        met: whether its loss met the target at the last probe that scored it, (batch,).
    """

    number: int
    subject: str
    phrase: str
    object: str | None
    step: int
    before: Tensor
    after: Tensor
    stands: Tensor
    met: Tensor

    @property
    def relation(self) -> str:
        """In words."""
        return clause(self.subject, self.phrase, self.object)

    def in_words(self, steps: int) -> str:
        """One line, of a run of so many steps."""
        stand, pictures = int(self.stands.sum()), len(self.stands)
        if pictures > 1:
            where = f"{self.relation} in {stand} of {pictures} pictures"
        else:
            where = self.relation if stand else clause(self.subject, f"not {self.phrase}", self.object)
        come = how_far(self.stands.tolist(), self.met.tolist())
        return f"attention: {where} at the last look, step {self.step + 1} of {steps}: {come}"

    def as_json(self) -> dict[str, Any]:
        """In plain lists and numbers."""
        return {
            "relation": self.relation,
            "stands": self.stands.tolist(),
            "loss_before": as_numbers(self.before),
            "loss_after": as_numbers(self.after),
        }


def settled(scene: GroundedScene, entries: Sequence[TraceEntry]) -> list[Settled]:
    """Of each relation that was scored in these probes, in the scene's order."""
    found = []
    for number, relation in enumerate(scene.relations):
        if scored := scoring(entries, number):
            last = entries[-1]
            found.append(
                Settled(
                    number,
                    scene.names[relation.subject],
                    relation.relation.phrase,
                    None if relation.object is None else scene.names[relation.object],
                    last.step,
                    scored[0].loss_of(number),
                    scored[-1].loss_of(number),
                    torch.tensor(last.stands(relation)),
                    scored[-1].met_by(number),
                )
            )
    return found
