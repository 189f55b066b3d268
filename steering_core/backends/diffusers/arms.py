"""Ways of an evaluation that a pipeline of diffusers draws: what tells them apart, and how their pictures come."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from diffusers import DiffusionPipeline
from torch import Tensor

from ...evaluation.arms import Arm, Drawn
from ...evaluation.suites import ScenePrompt
from ...files.weights import weights_hash
from ...losses import CentroidLoss, CombinedLoss, LearnedLoss, PresenceLoss, SteeringLoss
from ...schedule import SteeringSchedule
from ...steering import Steering
from .generation import generate
from .loading import pipeline_hash
from .pipelines import kind_of
from .text import ground_prompt

#: Names of losses in folders of evaluations; any other loss goes by its class.
_NAMES: dict[type, str] = {CentroidLoss: "centroid", PresenceLoss: "presence"}


def sampling_of(pipeline: DiffusionPipeline, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All that the pictures of every arm depend on beside the suite, as plain values.

    Args:
        settings: named arguments of ``generate`` beside the prompt, its seeds and its steering.
    """
    scheduler = pipeline.scheduler
    return {
        "weights": pipeline_hash(pipeline),
        "dtype": str(kind_of(pipeline).network_of(pipeline).dtype),
        "scheduler": [type(scheduler).__name__, json.loads(json.dumps(dict(scheduler.config), default=str))],
        **settings,
    }


def unsteered_arm(name: str, pipeline: DiffusionPipeline, settings: Mapping[str, Any]) -> Arm:
    """What the model draws by itself.

    Args:
        settings: as for ``sampling_of``.
    """
    return Arm(name, {"loss": "none"}, partial(_draw, pipeline, settings, None))


def steered_arm(
    name: str,
    pipeline: DiffusionPipeline,
    settings: Mapping[str, Any],
    loss: SteeringLoss,
    schedule: SteeringSchedule,
) -> Arm:
    """What the model draws when it is steered.

    Args:
        settings: as for ``sampling_of``.
    """
    make_steering = partial(Steering, loss=loss, schedule=schedule)
    description = {"loss": loss_description(loss), "schedule": asdict(schedule)}
    return Arm(name, description, partial(_draw, pipeline, settings, make_steering))


def loss_description(loss: SteeringLoss) -> Any:
    """What tells a loss from others, as plain values."""
    if isinstance(loss, CombinedLoss):
        return [[loss_description(term), weight] for term, weight in loss.terms]
    if isinstance(loss, LearnedLoss):
        return {"learned": weights_hash((loss.classifier,))}
    settings = loss.resolved() if isinstance(loss, CentroidLoss) else loss
    return {_NAMES.get(type(loss), type(loss).__name__): vars(settings)}


def _draw(
    pipeline: DiffusionPipeline,
    settings: Mapping[str, Any],
    make_steering: partial[Steering] | None,
    prompt: ScenePrompt,
    seeds: Sequence[int],
) -> Drawn:
    steering = None
    if make_steering is not None:
        steering = make_steering(ground_prompt(pipeline, prompt.text, prompt.scene))
    return drawn_with(steering, generate(pipeline, prompt.text, seeds, steering, **settings))


def drawn_with(steering: Steering | None, pictures: Tensor) -> Drawn:
    """Pictures, with what the steering that drew them took down; none for unsteered sampling."""
    norms = [entry.gradient_norm for entry in steering.trace] if steering else []
    return Drawn(pictures, sum(len(norm) for norm in norms), sum(int((norm > 0).sum()) for norm in norms))
