"""What steering saw while it ran, and what became of each relation."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .tokens import GroundedScene


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
    """

    step: int
    refinement: int
    relations: tuple[int, ...]
    loss: Tensor
    centroids: Tensor
    gradient_norm: Tensor
    mean_map: Tensor

    def loss_of(self, number: int) -> Tensor:
        """Of a relation among those scored, (batch,)."""
        return self.loss[self.relations.index(number)]

    def as_json(self) -> dict:
        """The entry without its map, in plain lists and numbers."""
        return {
            "step": self.step,
            "refinement": self.refinement,
            "relations": list(self.relations),
            "loss": self.loss.tolist(),
            "centroids": self.centroids.tolist(),
            "gradient_norm": self.gradient_norm.tolist(),
        }


def trace_as_json(scene: GroundedScene, trace: Sequence[TraceEntry]) -> dict:
    """A scene and what was seen of it, in plain lists and numbers."""
    return {
        "prompt": scene.scene.prompt,
        "objects": list(scene.names),
        "relations": [scene.describe(relation) for relation in scene.relations],
        "trace": [entry.as_json() for entry in trace],
    }


@dataclass(frozen=True)
class Verdict:
    """What had become of a relation in each image of a batch when steering last looked at the model's attention.

    Attributes:
        relation: in words.
        before, after: its loss at the first and at the last probe that scored it, (batch,).
        holds: whether the centroids of the last probe stand in the relation, (batch,).
    """

    relation: str
    before: Tensor
    after: Tensor
    holds: Tensor

    def __str__(self) -> str:
        held, images = int(self.holds.sum()), len(self.holds)
        mark = "\N{CHECK MARK}" if held == images else "\N{BALLOT X}"
        where = (
            ("it holds" if held else "it does not hold") if images == 1 else f"it holds in {held} of {images} images"
        )
        loss = f"{self.before.mean():.2f} \N{RIGHTWARDS ARROW} {self.after.mean():.2f}"
        return f"{mark} {self.relation}: {where} (loss {loss})"


@dataclass(frozen=True)
class SteeringRun:
    """One run of a sampler that was steered.

    Attributes:
        scene: what was wanted.
        steps: how many the run had.
        entries: of all probes, in order; none if no step was steered.
        predictions: by steered step what the model then took the clean latent to be, (batch, …).
        latent: the result.
    """

    scene: GroundedScene
    steps: int
    entries: Sequence[TraceEntry]
    predictions: Mapping[int, Tensor]
    latent: Tensor

    def displacements(self, number: int) -> Tensor:
        """Of a relation at each probe (``Relation.displacement``), (probes, batch)."""
        relation = self.scene.relations[number]
        return torch.tensor(
            [
                [relation.relation.displacement(image[relation.subject], image[relation.object]) for image in centres]
                for centres in (entry.centroids.tolist() for entry in self.entries)
            ]
        )

    def scoring(self, number: int) -> list[TraceEntry]:
        """The probes that scored a relation."""
        return [entry for entry in self.entries if number in entry.relations]

    @property
    def last_of_steps(self) -> list[TraceEntry]:
        """The last probe of each steered step."""
        return list({entry.step: entry for entry in self.entries}.values())

    def verdicts(self) -> list[Verdict]:
        """Of each relation that was scored, in the scene's order."""
        found = []
        for number, relation in enumerate(self.scene.relations):
            if scored := self.scoring(number):
                before, after = (entry.loss_of(number) for entry in (scored[0], scored[-1]))
                centres = self.entries[-1].centroids.tolist()
                holds = [relation.relation.holds(image[relation.subject], image[relation.object]) for image in centres]
                found.append(Verdict(self.scene.describe(relation), before, after, torch.tensor(holds)))
        return found

    def summary(self) -> str:
        """A line for each relation; or why there is none."""
        if not self.scene.relations:
            return self.scene.summary()
        if not self.entries:
            return f"None of the {self.steps} steps was steered: the window of the schedule holds none of them."
        return "\n".join(map(str, self.verdicts()))

    def as_json(self) -> dict:
        """Scene, verdicts and trace in plain lists and numbers."""
        return {
            **trace_as_json(self.scene, self.entries),
            "steps": self.steps,
            "holds": {verdict.relation: verdict.holds.tolist() for verdict in self.verdicts()},
        }


class RunLog:
    """The last runs of samplers with one steered model."""

    _KEPT = 32
    #: Latents differ by less where a sampler gives its result in two ways, and by far more where the seed does.
    _TOLERANCE = 1e-4

    def __init__(self) -> None:
        self._runs: deque[SteeringRun] = deque(maxlen=self._KEPT)

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
            f"latent: the output of a sampler was expected that ran with the steered model of this trace, just as it "
            f"came from there. Connect the sampler's LATENT itself (of two, that named output), and the trace of the "
            f"node that steered its model. The last {self._KEPT} runs are kept; of an older one, sample again."
        )
