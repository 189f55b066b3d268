"""Ways of steering that more than one benchmark measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline

from benchmarks.measuring import Way
from benchmarks.named_losses import named_loss
from steering_core.backends.diffusers.arms import steered_arm, unsteered_arm
from steering_core.evaluation.runs import Arm, EvaluationFolder
from steering_core.miniature.look import MiniatureDetector
from steering_core.miniature.score import STEPS, guidance_scale_of
from steering_core.miniature.world import IMAGE_SIZE
from steering_core.schedule import SteeringSchedule

#: Losses that a classifier takes part in, by their names in the tables, at the settings that served best on other
#: prompts (``python -m benchmarks.tune``).
LEARNED_LOSSES = {"learned": "learned", "combined": "gelu + 0.5 learned + 0.5 presence"}
#: What a learned loss, which never reaches 0, is content with.
_TARGET = 0.1


def centroid_way(function: str, schedule: SteeringSchedule, name: str = "") -> Way:
    """Steering with a centroid loss, which tables name by its function or by another name."""
    return Way(name or function, partial(named_loss, function), schedule)


def learned_way(name: str, schedule: SteeringSchedule, classifier: Path, told: str = "") -> Way:
    """Steering with one of ``LEARNED_LOSSES``, by a classifier of which the table tells something."""
    make_loss = partial(named_loss, LEARNED_LOSSES[name], classifier)
    return Way(name + told, make_loss, learned_schedule(schedule))


def learned_schedule(schedule: SteeringSchedule) -> SteeringSchedule:
    """A schedule with a target that suits ``LEARNED_LOSSES``."""
    return replace(schedule, target=_TARGET)


def arm_of(way: Way, pipeline: DiffusionPipeline, settings: Mapping[str, Any]) -> Arm:
    """A way as an arm of an evaluation.

    Args:
        settings: see ``sampling_of``.
    """
    if way.make_loss is None:
        return unsteered_arm(arm_name(way), pipeline, settings)
    return steered_arm(arm_name(way), pipeline, settings, way.make_loss(), way.schedule)


def miniature_settings(pipeline: DiffusionPipeline) -> dict[str, Any]:
    """How a miniature draws by itself, for ``sampling_of``."""
    return {"steps": STEPS, "guidance_scale": guidance_scale_of(pipeline), "size": (IMAGE_SIZE, IMAGE_SIZE)}


def draw_and_look(folder: EvaluationFolder, arm: Arm, number: int) -> None:
    """Draw what is not there of a prompt, all seeds at once, and let the miniatures' detector look."""
    for _ in folder.draw(arm, [number], batch=len(folder.suite.seeds)):
        pass
    for _ in folder.detect(arm.name, MiniatureDetector(), [number]):
        pass


def arm_name(way: Way) -> str:
    """The name of ``arm_of``."""
    return f"{way.loss}_{way.update}"
