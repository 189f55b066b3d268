"""What steering saw while it ran, and what became of each relation."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .detection.look import Look, SeenRelation, seen_relations
from .how_far import how_far
from .outcomes import BoundSteps, Restarts, UnsteeredStep
from .presence import Presence
from .relations import Relation, in_words
from .tokens import GroundedRelation, GroundedScene
from .wording import several

#: Where a steered picture is not as it was to be: what helped most on the miniatures (``benchmarks.second_try``).
_NEXT = "to try next: another seed, which put a third of such pictures of the miniatures right"
#: No classifier knows places, nor "next to".
_NEXT_LEARNED = ", or a learned and a presence loss beside the centroid loss, which put half of them right"


@dataclass(frozen=True)
class TraceEntry:
    """What one probe saw.

    Attributes:
        step: sampling step, from 0.
        refinement: number of the probe within the step, from 0.
        relations: the relations that were scored, as positions in the scene.
        loss: of each of these relations, (relations, batch).
        centroids: (batch, objects, 2) in (0, 1), of the mean map, thresholded.
        gradient_norm: Euclidean norm of each image's gradient, (batch,).
        mean_map: each object's map, mean over layers and heads, (batch, objects, H, W), summing to 1.
        strength: mean attention that each object gets, (batch, objects), in [0, 1].
        met: which of these relations have met the target, and are left alone, (relations, batch).
    """

    step: int
    refinement: int
    relations: tuple[int, ...]
    loss: Tensor
    centroids: Tensor
    gradient_norm: Tensor
    mean_map: Tensor
    strength: Tensor
    met: Tensor

    @property
    def presence(self) -> Presence:
        """How present each object is in the maps."""
        return Presence.of(self.mean_map, self.strength)

    def loss_of(self, number: int) -> Tensor:
        """Of a relation among those scored, (batch,)."""
        return self.loss[self.relations.index(number)]

    def met_by(self, number: int) -> Tensor:
        """Whether a relation among those scored has met the target, (batch,)."""
        return self.met[self.relations.index(number)]

    def stands(self, relation: GroundedRelation) -> list[bool]:
        """Whether the centres stand in a relation, in each image."""
        return [relation.relation.holds(*(image[end] for end in relation.ends)) for image in self.centroids.tolist()]

    def with_images(self, other: TraceEntry, places: Mapping[int, int]) -> TraceEntry:
        """The entry with some images from another one of the same step and relations.

        Args:
            places: by the image's position here that in the other batch.
        """
        here, there = torch.tensor(list(places)), torch.tensor(list(places.values()))

        def taken(mine: Tensor, theirs: Tensor, axis: int = 0) -> Tensor:
            return mine.index_copy(axis, here, theirs.index_select(axis, there))

        return replace(
            self,
            loss=taken(self.loss, other.loss, axis=1),
            centroids=taken(self.centroids, other.centroids),
            met=taken(self.met, other.met, axis=1),
            gradient_norm=taken(self.gradient_norm, other.gradient_norm),
            mean_map=taken(self.mean_map, other.mean_map),
            strength=taken(self.strength, other.strength),
        )

    def as_json(self) -> dict[str, Any]:
        """The entry without its map, in plain lists and numbers."""
        return {
            "step": self.step,
            "refinement": self.refinement,
            "relations": list(self.relations),
            "loss": _numbers(self.loss),
            "centroids": _numbers(self.centroids),
            "gradient_norm": _numbers(self.gradient_norm),
            "strength": _numbers(self.strength),
        }


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
        return in_words(self.subject, self.phrase, self.object)

    def in_words(self, steps: int) -> str:
        """One line, of a run of so many steps."""
        stand, pictures = int(self.stands.sum()), len(self.stands)
        if pictures > 1:
            where = f"{self.relation} in {stand} of {pictures} pictures"
        else:
            where = self.relation if stand else in_words(self.subject, f"not {self.phrase}", self.object)
        come = how_far(self.stands.tolist(), self.met.tolist())
        return f"attention: {where} at the last look, step {self.step + 1} of {steps}: {come}"

    def as_json(self) -> dict[str, Any]:
        """In plain lists and numbers."""
        return {
            "relation": self.relation,
            "stands": self.stands.tolist(),
            "loss_before": _numbers(self.before),
            "loss_after": _numbers(self.after),
        }


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
        return _scoring(self.entries, number)

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
        told = trace_as_json(self.scene, self.entries, self.unsteered, self.binding, self.restarts)
        told |= {"steps": self.steps}
        if look is None:
            return told
        return {**told, "seen": {"by": look.by, "relations": [s.as_json() for s in seen_relations(self.scene, look)]}}


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


class RunLog:
    """The last runs of samplers with one steered model.

    Attributes:
        look: looks at pictures of this model, (batch, 3, H, W) in [0, 1], with a detector that knows what it draws;
            none where there is no such detector.
    """

    _KEPT = 32
    #: Latents differ by less where a sampler gives its result in two ways, and by far more where the seed does.
    _TOLERANCE = 1e-4

    def __init__(self, look: Callable[[Tensor], Look] | None = None) -> None:
        self.look = look
        self._runs: deque[SteeringRun] = deque(maxlen=self._KEPT)

    def __str__(self) -> str:
        return f"the last {len(self._runs)} runs of a steered model"  # what core's Preview as Text shows

    def add(self, run: SteeringRun) -> None:
        """Keep a run; the oldest goes when there are too many."""
        self._runs.append(run)

    def run_of(self, latent: Tensor) -> SteeringRun:
        """The run that ended with this latent.

        Raises:
            ValueError: none of the last runs did.
        """
        for run in reversed(self._runs):
            # Some samplers hand their result on in another precision.
            mine, theirs = run.latent.to(latent.dtype).float(), latent.cpu().float()
            if mine.shape == theirs.shape and mine.allclose(theirs, rtol=0, atol=self._TOLERANCE, equal_nan=True):
                return run
        raise ValueError(
            f"Nothing is known of this latent: no sampler with the steered model of this trace ended with it, or it "
            f"had nothing to do (denoise 0). Connect the sampler's LATENT itself (of two, that named output), and the "
            f"trace of the node that steered its model. The last {self._KEPT} runs are kept, while the node that "
            f"steered is; of another one, sample again, by another seed or with the node cache freed."
        )


def _scoring(entries: Sequence[TraceEntry], number: int) -> list[TraceEntry]:
    return [entry for entry in entries if number in entry.relations]


def settled(scene: GroundedScene, entries: Sequence[TraceEntry]) -> list[Settled]:
    """Of each relation that was scored in these probes, in the scene's order."""
    found = []
    for number, relation in enumerate(scene.relations):
        if scored := _scoring(entries, number):
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


def _present(scene: GroundedScene, last: TraceEntry) -> list[str]:
    """How present each object is, and a warning where that is weak."""
    presence, pictures = last.presence, len(last.strength)
    of = f" (mean of {pictures} pictures)" if pictures > 1 else ""
    told = [f"attention to {name}{of}: {what}" for name, what in zip(scene.names, presence.describe(scene.names))]
    # The first step is too noisy to tell anything of what will be missing.
    warnings = presence.warnings(scene.names) if last.step else []
    return [*told, *([f"warning: {several(warnings)}"] if warnings else [])]


def _presence_as_json(last: TraceEntry) -> dict[str, Any]:
    presence = last.presence
    return {
        "step": last.step,
        "strength": _numbers(presence.strength),
        "spread": _numbers(presence.spread),
        "overlap": _numbers(presence.overlap),
        "weak": presence.weak.tolist(),
    }


def _numbers(values: Tensor) -> list[Any]:
    """Nested lists, None in the place of what is not a finite number: JSON has no other."""
    return _strict(values.tolist())


def _strict(value: Any) -> Any:
    if isinstance(value, list):
        return [_strict(part) for part in value]
    return value if math.isfinite(value) else None
