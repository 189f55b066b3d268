"""Ways of steering that more than one benchmark measures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.measuring import Way
from benchmarks.named_losses import named_loss
from steering_core.schedule import SteeringSchedule

#: Losses that a classifier takes part in, by their names in the tables, at the settings that served best on other
#: prompts (``python -m benchmarks.tune``).
LEARNED_LOSSES = {"learned": "learned", "combined": "gelu + 0.5 learned + 0.5 presence"}
#: What a learned loss, which never reaches 0, is content with.
_TARGET = 0.1


def centroid_way(function: str, update: str, step_size: float | None = None) -> Way:
    """Steering with a centroid loss, at the defaults where no step size is given."""
    return Way(function, partial(named_loss, function), SteeringSchedule(update, step_size=step_size))


def learned_way(name: str, update: str, classifier: Path, told: str = "", step_size: float | None = None) -> Way:
    """Steering with one of ``LEARNED_LOSSES``, by a classifier of which the table tells something."""
    make_loss = partial(named_loss, LEARNED_LOSSES[name], classifier)
    return Way(name + told, make_loss, SteeringSchedule(update, step_size=step_size, target=_TARGET))
