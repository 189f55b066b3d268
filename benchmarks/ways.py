"""Ways of steering that more than one benchmark measures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline

from benchmarks.clock import clock_of
from benchmarks.logits import scaled_logits
from benchmarks.measuring import Measurement, Sampling
from benchmarks.named_losses import named_loss
from steering_core.backends.diffusers import check_steering, ground_prompt
from steering_core.backends.diffusers.arms import steered_arm, unsteered_arm
from steering_core.evaluation.arms import Arm, Draw, Drawn
from steering_core.evaluation.suites import ScenePrompt
from steering_core.losses import SteeringLoss
from steering_core.schedule import SteeringSchedule
from steering_core.steering import Steering

#: Losses that a classifier takes part in, by their names in the tables, at the settings that served best on other
#: prompts (``python -m benchmarks.tune``).
LEARNED_LOSSES = {"learned": "learned", "combined": "gelu + 0.5 learned + 0.5 presence"}
#: What a learned loss, which never reaches 0, is content with.
_TARGET = 0.1
#: Characters of an arm's name, which is that of a folder too.
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Way:
    """A way of sampling with steering or without.

    Attributes:
        loss: its name in the tables.
        make_loss: makes it, in the process that draws; none for unsteered sampling.
        schedule: of the steering.
        logit_scale: see ``scaled_logits``.
    """

    loss: str
    make_loss: partial[SteeringLoss] | None = None
    schedule: SteeringSchedule = field(default_factory=SteeringSchedule)
    logit_scale: float = 1.0

    @property
    def update(self) -> str:
        """Its update rule, for the tables."""
        return self.schedule.update if self.make_loss else "none"

    @property
    def name(self) -> str:
        """Of its arm: loss and update, a long one cut and told from others by a hash."""
        name = f"{self.loss}_{self.update}"
        if len(name) <= _LONGEST_NAME:
            return name
        return f"{name[: _LONGEST_NAME - 17]} {sha256(name.encode()).hexdigest()[:16]}"

    def arm(self, sampling: Sampling) -> Arm:
        """See ``MeasuredWay``."""
        model, settings = sampling.pipeline, sampling.settings
        if self.make_loss is None:
            arm = unsteered_arm(self.name, model, settings)
        else:
            arm = steered_arm(self.name, model, settings, self.make_loss(), self.schedule)
        arm = replace(arm, clock=clock_of(sampling.device))
        if self.logit_scale == 1:
            return arm
        description = {**arm.description, "logit_scale": self.logit_scale}
        return replace(arm, description=description, draw=partial(_drawn_at, self.logit_scale, arm.draw))


#: What all others are held against.
UNSTEERED = Way("none")


def _drawn_at(scale: float, draw: Draw, prompt: ScenePrompt, seeds: Sequence[int]) -> Drawn:
    """Pictures by steering that reads scaled logits."""
    with scaled_logits(scale):
        return draw(prompt, seeds)


def check_ways(ways: Iterable[Way], prompt: ScenePrompt, pipeline: DiffusionPipeline) -> None:
    """Try ways on a miniature, without drawing anything.

    Raises:
        ValueError: the miniature cannot be steered, or a way's loss cannot be made, cannot read it or cannot score
            the prompt's relations.
        OSError: a file cannot be read.
    """
    scene = ground_prompt(pipeline, prompt.text)
    for way in ways:
        if way.make_loss is not None:
            check_steering(pipeline, Steering(scene, way.make_loss(), way.schedule))


def centroid_way(function: str, schedule: SteeringSchedule, name: str = "") -> Way:
    """Steering with a centroid loss, which tables name by its function or by another name."""
    return Way(name or function, partial(named_loss, function), schedule)


def learned_way(name: str, schedule: SteeringSchedule, classifier: Path, suffix: str = "") -> Way:
    """Steering with one of ``LEARNED_LOSSES``, by a classifier of which the table tells something."""
    make_loss = partial(named_loss, LEARNED_LOSSES[name], classifier)
    return Way(name + suffix, make_loss, learned_schedule(schedule))


def learned_schedule(schedule: SteeringSchedule) -> SteeringSchedule:
    """A schedule with a target that suits ``LEARNED_LOSSES``."""
    return replace(schedule, target=_TARGET)


def published_schedule(**settings: Any) -> SteeringSchedule:
    """A schedule for a method as it was published: the plain gradient, nothing bound, and a look at each step."""
    return SteeringSchedule(normalize=False, bound=0.0, rest=0, **settings)


def rows(measurement: Measurement[Way], numbers: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """A row for each way; see ``Measurement.scores``."""
    scores = measurement.scores(numbers)
    return [{"loss": way.loss, "update": way.update, **row} for way, row in zip(measurement.ways, scores)]
