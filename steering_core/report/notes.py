"""What is taken down of a run while it goes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from .outcomes import Restarts, UnsteeredStep
from .trace import TraceEntry

_log = logging.getLogger(__name__)


@dataclass
class RunNotes:
    """Of one run, or of another attempt at a part of it.

    Attributes:
        trace: what was seen so far, in order.
        unsteered: steps of the window that could not be steered, in order.
        bound: steps in which objects were bound to their regions, in order.
        unbound: steps in which they could not be, in order.
        restarts: which pictures began again, once that is decided.
    """

    trace: list[TraceEntry] = field(default_factory=list)
    unsteered: list[UnsteeredStep] = field(default_factory=list)
    bound: list[int] = field(default_factory=list)
    unbound: list[UnsteeredStep] = field(default_factory=list)
    restarts: list[Restarts] = field(default_factory=list)

    def begin(self) -> None:
        """A new run: nothing is known of it yet."""
        self.trace.clear()
        self.unsteered.clear()
        self.bound.clear()
        self.unbound.clear()
        self.restarts.clear()

    def of_another_attempt(self) -> RunNotes:
        """For another attempt at a part of the run: notes of its own, but what is bound goes on in the run's."""
        return RunNotes(bound=self.bound, unbound=self.unbound)

    def leave_out(self, step: int, reason: str, images: Sequence[int] = ()) -> None:
        """Take down that a step of the window is not steered; the log is told once a run.

        Args:
            step: from 0.
            reason: one line.
            images: the pictures of the batch that it concerns; all when none is named.
        """
        _take_down(UnsteeredStep(step, " ".join(reason.split()), tuple(images)), self.unsteered)

    def took_bound(self, step: int, reason: str) -> None:
        """Take down of a forward whether the objects were bound in it; the log is told once a run if not.

        Args:
            step: from 0. One of whose forwards was not bound counts as not bound.
            reason: why they were not, in one line; empty where they were.
        """
        if step in (left_out.step for left_out in self.unbound):
            return
        if reason:
            _take_down(UnsteeredStep(step, reason, lacks="bound"), self.unbound)
            if step in self.bound:
                self.bound.remove(step)
        elif step not in self.bound:
            self.bound.append(step)


def _take_down(left_out: UnsteeredStep, others: list[UnsteeredStep]) -> None:
    """Take down what a step lacks; the log is told of the first one."""
    if not others:
        _log.warning("Spatial Steering: %s. The picture is sampled on.", left_out)
    others.append(left_out)
