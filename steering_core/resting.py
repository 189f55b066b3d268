"""Steps that rest: they are not looked at, since all that they work on held when steering last looked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .schedule import SamplingStep, SteeringSchedule


class Resting:
    """Which steps of one run rest. The last steered one never does."""

    def __init__(self) -> None:
        #: By relations that held together, the turn (``SteeringSchedule.turn``) at which they are looked at again.
        self._looked_at_again: dict[tuple[int, ...], int] = {}

    def begin(self) -> None:
        """A new run: every step is looked at until something holds."""
        self._looked_at_again.clear()

    def rests(self, step: SamplingStep, due: Iterable[int], schedule: SteeringSchedule) -> bool:
        """Whether a step does.

        Args:
            due: the relations that it works on, as positions in the scene.
        """
        again = self._looked_at_again.get(tuple(due), 0)
        return schedule.turn(step.number) < again and not schedule.is_last(step)

    def rest_after(self, step: SamplingStep, due: Sequence[int], relations: int, schedule: SteeringSchedule) -> None:
        """All that a step works on holds, so that the next steps that work on it rest, as many as the schedule says.

        Args:
            due: see ``rests``.
            relations: how many the scene has.
        """
        if schedule.rest:
            turns = relations // len(due)
            self._looked_at_again[tuple(due)] = schedule.turn(step.number) + turns * (1 + schedule.rest)
