"""The best of several seeds by the detector: what a user can do without steering."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from benchmarks.measuring import SEED_STRIDE, Sampling
from steering_core.backends.diffusers import ground_prompt
from steering_core.evaluation.arms import Drawn
from steering_core.evaluation.ranking import score_pictures
from steering_core.evaluation.suites import ScenePrompt
from steering_core.miniature.look import look_at
from steering_core.miniature.score import sampled
from steering_core.tokens import GroundedScene


def best_of(
    count: int, pipeline: DiffusionPipeline, prompt: ScenePrompt, sampling: Sampling, seeds: Sequence[int]
) -> Drawn:
    """For each seed the best of so many unsteered pictures, its own first."""
    scene = ground_prompt(pipeline, prompt.text)
    tried = []
    for number in range(count):
        others = [seed + number * SEED_STRIDE for seed in seeds]
        tried.append(sampled(pipeline, prompt.text, others, None, sampling.steps, sampling.guidance_scale))
    return Drawn(torch.stack([best_picture(scene, torch.stack(candidates)) for candidates in zip(*tried)]))


def best_picture(scene: GroundedScene, candidates: Tensor) -> Tensor:
    """The one that shows the scene best, as the node Keep Best chooses, the first of equal ones.

    Args:
        candidates: (count, 3, 128, 128) in [0, 1].
    """
    scored = score_pictures(scene, look_at(candidates))
    assert not scored.unjudged, scored.unjudged
    (best,) = scored.best(1)
    return candidates[best]
