"""What a run is going to steer, said before its first step."""

from __future__ import annotations

from .steering import Steering
from .wording import shortened

#: Letters of a prompt, and of all relations together, that are shown.
_PROMPT_SHOWN, _RELATIONS_SHOWN = 80, 200
_NOTHING_MOVES = "nothing to steer: the {} is 0"


def plan(steering: Steering, steps: int) -> str:
    """The relations, the steps that steer them and those that bind their objects, on one line; or why a run steers
    nothing.

    Args:
        steps: of the run, 1 or more.
    """
    scene, schedule = steering.scene, steering.schedule
    if schedule.is_idle:
        return _NOTHING_MOVES.format("strength")
    if not scene.relations:
        prompt = shortened(scene.scene.as_written, _PROMPT_SHOWN)
        if scene.scene.unsteered:
            return f'nothing to steer in "{prompt}": {shortened("; ".join(scene.scene.unsteered), _RELATIONS_SHOWN)}'
        return f'nothing to steer: no spatial relation was found in "{prompt}"'
    bound = steering.bound_steps(steps)
    if schedule.moves:
        relations = "; ".join(scene.describe(relation) for relation in scene.relations)
        binding = [f"bound in the first {bound}"] if bound else []
        parts = [f"steering {shortened(relations, _RELATIONS_SHOWN)}", _window(steering, steps)]
        return " · ".join([*parts, *binding, *_restarts(steering)])
    if bound:
        return f"binding {shortened(str(steering.regions), _RELATIONS_SHOWN)} · the first {bound} of {steps} steps"
    return _NOTHING_MOVES.format("step size" if schedule.strength else "strength")


def _restarts(steering: Steering) -> list[str]:
    """Whether pictures may begin again."""
    schedule = steering.schedule
    if not schedule.restarts:
        return []
    overlap = f"where two objects share over {schedule.restart_overlap:.0%} of their attention"
    return [f"at most {schedule.restarts} {'restart' if schedule.restarts == 1 else 'restarts'} a picture, {overlap}"]


def _window(steering: Steering, steps: int) -> str:
    """The steered steps, counted from 1, and a word where they lie outside the window that was asked for."""
    schedule = steering.schedule
    steered = schedule.steered_steps(steps)
    first, last = steered[0], steered[-1]
    named = f"step {first + 1}" if first == last else f"steps {first + 1} to {last + 1}"
    if len(steered) <= last - first:
        named = f"{len(steered)} steps from {first + 1} to {last + 1}"
    if first / steps >= schedule.start:
        return f"{named} of {steps}"
    # Where no step begins in the window, the one in which it lies takes its place.
    return f"{named} of {steps} (none begins between {schedule.start:.0%} and {schedule.end_in(steps):.0%})"
