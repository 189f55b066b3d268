"""What is told of a steered run once it has ended: its lines of text, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..detection.look import Look, SeenRelation, seen_relations
from ..relations.relation import Relation
from ..tokens import GroundedScene
from ..wording import several
from .outcomes import BoundSteps, Restarts, UnsteeredStep
from .settled import Settled, settled
from .trace import TraceEntry, as_numbers, scoring

#: Where a steered picture is not as it was to be: what helped most on the miniatures (``benchmarks.second_try``).
_NEXT = "to try next: another seed, which put a third of such pictures of the miniatures right"
#: No classifier knows places, nor "next to".
_NEXT_LEARNED = ", or a learned and a presence loss beside the centroid loss, which put half of them right"


@dataclass(frozen=True)
class SteeringRun:
    """One run of a sampler that was steered.

    Attributes:
        scene: what was wanted.
        steps: how many the run had.
        entries: of all probes, in order; none if no step was steered.
        predictions: by steered step what the model then took the clean latent to be, (batch, …).
        latent: the result.
        unsteered: steps of the window that were not steered, in whole or for some pictures, in order.
        binding: of objects to their regions, if it was asked for.
        restarts: of the pictures, where some might begin again; one item at most.
    """

    scene: GroundedScene
    steps: int
    entries: Sequence[TraceEntry]
    predictions: Mapping[int, Tensor]
    latent: Tensor
    unsteered: Sequence[UnsteeredStep] = ()
    binding: BoundSteps | None = None
    restarts: Sequence[Restarts] = ()

    def displacements(self, number: int) -> Tensor:
        """Of a relation at each probe (``Relation.displacement``), (probes, batch)."""
        relation = self.scene.relations[number]
        return torch.tensor(
            [
                [relation.relation.displacement(*(image[end] for end in relation.ends)) for image in centres]
                for centres in (entry.centroids.tolist() for entry in self.entries)
            ]
        )

    def scoring(self, number: int) -> list[TraceEntry]:
        """The probes that scored a relation."""
        return scoring(self.entries, number)

    @property
    def last_of_steps(self) -> list[TraceEntry]:
        """The last probe of each steered step."""
        return list({entry.step: entry for entry in self.entries}.values())

    def settled(self) -> list[Settled]:
        """Of each relation that was scored, in the scene's order."""
        return settled(self.scene, self.entries)

    def lines(self, look: Look | None = None) -> list[tuple[str, int | None]]:
        """All that is known, a line each, with the number of the relation that it is of, if it is of one.

        Args:
            look: what was seen in the finished pictures, if anyone looked.
        """
        relations = seen_relations(self.scene, look) if look else []
        seen = [(str(one), number) for number, one in enumerate(relations)]
        to_try = [(advice, None) for advice in self._to_try(relations)]
        stood = [(one.in_words(self.steps), one.number) for one in self.settled()]
        return [*seen, *to_try, *stood, *((note, None) for note in self._notes())]

    def _to_try(self, relations: Sequence[SeenRelation]) -> list[str]:
        """What to try next where a relation was steered and is not seen."""
        kinds = [relation.relation for relation, one in zip(self.scene.relations, relations) if not all(one.seen or ())]
        if not (self.entries and kinds):
            return []
        return [_NEXT + _NEXT_LEARNED * any(isinstance(kind, Relation) and kind.directions for kind in kinds)]

    def summary(self, look: Look | None = None) -> str:
        """``lines`` as one text."""
        return "\n".join(line for line, _ in self.lines(look))

    def _notes(self) -> list[str]:
        """On all relations together: how present the objects are, and what was not steered, and why."""
        if not self.scene.relations:
            return [self.scene.summary()]
        left_out = self.binding.lines() if self.binding else []
        left_out += [several([str(step) for step in self.unsteered])] if self.unsteered else []
        left_out += [str(restarts) for restarts in self.restarts]
        left_out += self.scene.scene.unsteered
        if self.entries:
            return [*_present(self.scene, self.entries[-1]), *left_out]
        if not self.steps:
            return ["The run had no steps: nothing was sampled, and nothing steered."]
        if self.unsteered or (self.binding and self.binding.bound):
            return left_out
        return [f"None of the {self.steps} steps was steered.", *left_out]

    def as_json(self, look: Look | None = None) -> dict[str, Any]:
        """All that is known of the run, in plain lists and numbers; what is not a finite number is None."""
        report = trace_as_json(self.scene, self.entries, self.unsteered, self.binding, self.restarts)
        report |= {"steps": self.steps}
        if look is None:
            return report
        return {**report, "seen": {"by": look.by, "relations": [s.as_json() for s in seen_relations(self.scene, look)]}}


def trace_as_json(
    scene: GroundedScene,
    trace: Sequence[TraceEntry],
    unsteered: Sequence[UnsteeredStep] = (),
    binding: BoundSteps | None = None,
    restarts: Sequence[Restarts] = (),
) -> dict[str, Any]:
    """A scene and what was seen of it, in plain lists and numbers; what is not a finite number is None."""
    return {
        "prompt": scene.scene.as_written,
        "objects": list(scene.names),
        "relations": [scene.describe(relation) for relation in scene.relations],
        "read_not_steered": [str(depth) for depth in scene.scene.depth],
        "placed_not_in_prompt": list(scene.scene.absent),
        "attention": [one.as_json() for one in settled(scene, trace)],
        "presence": _presence_as_json(trace[-1]) if trace else None,
        "trace": [entry.as_json() for entry in trace],
        "unsteered": [step.as_json() for step in unsteered],
        "bound": None if binding is None else binding.as_json(),
        "restarts": [of_batch.as_json() for of_batch in restarts],
    }


def _present(scene: GroundedScene, last: TraceEntry) -> list[str]:
    """How present each object is, and a warning where that is weak."""
    presence, pictures = last.presence, len(last.strength)
    of = f" (mean of {pictures} pictures)" if pictures > 1 else ""
    lines = [f"attention to {name}{of}: {what}" for name, what in zip(scene.names, presence.describe(scene.names))]
    # The first step is too noisy to tell anything of what will be missing.
    warnings = presence.warnings(scene.names) if last.step else []
    return [*lines, *([f"warning: {several(warnings)}"] if warnings else [])]


def _presence_as_json(last: TraceEntry) -> dict[str, Any]:
    presence = last.presence
    return {
        "step": last.step,
        "strength": as_numbers(presence.strength),
        "spread": as_numbers(presence.spread),
        "overlap": as_numbers(presence.overlap),
        "weak": presence.weak.tolist(),
    }
