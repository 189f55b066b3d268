"""What became of a run besides what was seen: steps not steered, objects bound, pictures that began again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..regions import Regions
from ..wording import several


@dataclass(frozen=True)
class UnsteeredStep:
    """A step of the window that was left to the model alone, or in which objects were not bound.

    Attributes:
        step: sampling step, from 0.
        reason: why, in one line.
        images: positions in the batch of the pictures that it concerns; empty for all.
        lacks: what it went without.
    """

    step: int
    reason: str
    images: tuple[int, ...] = ()
    lacks: str = "steered"

    def __str__(self) -> str:
        which = f", picture {', '.join(str(image + 1) for image in self.images)}" if self.images else ""
        return f"step {self.step + 1}{which}: not {self.lacks}, {self.reason}"

    def as_json(self) -> dict[str, Any]:
        """In plain lists and numbers; ``images`` count from 0, none of them means all."""
        return {"step": self.step, "reason": self.reason, "images": list(self.images)}


@dataclass(frozen=True)
class BoundSteps:
    """That objects were bound to their regions in the first steps of a run.

    Attributes:
        regions: of the objects.
        asked: in how many first steps.
        bound: the steps in which they were, in order, from 0.
        unbound: those in which something failed, in order.
    """

    regions: Regions
    asked: int
    bound: tuple[int, ...]
    unbound: tuple[UnsteeredStep, ...]

    def lines(self) -> list[str]:
        """What was bound and where, and what was not, and why."""
        if not self.regions.any:
            return [f"bound: {self.regions}"]
        steps = "the first step" if self.asked == 1 else f"the first {self.asked} steps"
        if len(self.bound) < self.asked:
            steps = f"{len(self.bound) or 'none'} of {steps}"
        if not self.bound and not self.unbound:
            steps += ", in which the conditioning of the relations did not act"
        lines = [f"bound in {steps}: {self.regions}"]
        return [*lines, several([str(step) for step in self.unbound])] if self.unbound else lines

    def as_json(self) -> dict[str, Any]:
        """In plain lists and numbers; a region is (left, upper, right, lower) in shares of the picture."""
        regions = zip(self.regions.names, self.regions.of_objects)
        return {
            "steps": list(self.bound),
            "asked": self.asked,
            "regions": {name: None if region is None else region.box for name, region in regions},
            "unbound": [step.as_json() for step in self.unbound],
        }


@dataclass(frozen=True)
class Restart:
    """What became of a picture that began again.

    Attributes:
        image: its position in the batch.
        overlaps: the largest overlap of two of its objects (``Presence.worst_overlap``) as it first stood, and in
            each further attempt. The attempt with the least is kept, the earliest of equals.
    """

    image: int
    overlaps: tuple[float, ...]

    @property
    def kept(self) -> int:
        """The number of the attempt that was sampled on; 0 is the first, with the noise that was given."""
        return self.overlaps.index(min(self.overlaps))

    def __str__(self) -> str:
        shared = ", ".join(f"{overlap:.0%}" for overlap in self.overlaps)
        return f"picture {self.image + 1} (shared attention {shared}; attempt {self.kept + 1} of {len(self.overlaps)})"

    def as_json(self) -> dict[str, Any]:
        """In plain lists and numbers; ``image`` and ``kept`` count from 0."""
        return {"image": self.image, "overlaps": list(self.overlaps), "kept": self.kept}


@dataclass(frozen=True)
class Restarts:
    """Which pictures of a run began again, and why none could if none could.

    Attributes:
        pictures: how many the batch has.
        restarted: those that began again, in order.
        failure: what ended it early, on one line; empty where nothing did.
    """

    pictures: int
    restarted: tuple[Restart, ...] = ()
    failure: str = ""

    def __str__(self) -> str:
        share = f"restarts: {len(self.restarted)} of {self.pictures} pictures began again from new noise"
        return "; ".join([share, *map(str, self.restarted), *filter(None, [self.failure])])

    def as_json(self) -> dict[str, Any]:
        """In plain lists and numbers."""
        return {
            "pictures": self.pictures,
            "restarted": [picture.as_json() for picture in self.restarted],
            "failure": self.failure,
        }
