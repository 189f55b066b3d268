"""Scoring of the miniature's pictures: generate, detect, judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diffusers import DiffusionPipeline, FluxPipeline
from torch import Tensor

from ..backends.diffusers import generate, ground_prompt
from ..evaluation.figures import PromptCounts
from ..evaluation.rules import Verdict
from ..evaluation.suites import ScenePrompt
from ..evaluation.visor import Trial, judge
from ..pictures import check_finite
from ..steering import Steering
from ..tokens import GroundedScene
from .detector import GlyphDetector
from .world import IMAGE_SIZE

#: Sampling of all measurements and sample sheets.
STEPS = 25
GUIDANCE_SCALE = 5.0
#: Of the second miniature, whose captions agree with the picture more often: stronger guidance makes more of that.
FLUX_GUIDANCE = 3.5
SEEDS = (0, 1, 2, 3)

#: Makes the steering of one prompt; none for unsteered sampling.
MakeSteering = Callable[[GroundedScene], Steering | None]


def sampled(
    pipeline: DiffusionPipeline,
    prompt: str,
    seeds: Sequence[int],
    steering: Steering | None = None,
    steps: int = STEPS,
    guidance_scale: float | None = None,
) -> Tensor:
    """A miniature's pictures of a prompt, one for each seed: (seeds, 3, H, W) in [0, 1].

    Args:
        guidance_scale: the one that suits it when not given.
    """
    scale = guidance_scale_of(pipeline) if guidance_scale is None else guidance_scale
    size = (IMAGE_SIZE, IMAGE_SIZE)
    return check_finite(generate(pipeline, prompt, seeds, steering, steps, scale, size=size))


def guidance_scale_of(pipeline: DiffusionPipeline) -> float:
    """What suits a miniature."""
    return FLUX_GUIDANCE if isinstance(pipeline, FluxPipeline) else GUIDANCE_SCALE


@dataclass(frozen=True)
class Judged:
    """The pictures of one prompt, (seeds, 3, 128, 128) in [0, 1], and the verdicts on them."""

    pictures: Tensor
    trials: list[Trial]

    @property
    def counts(self) -> PromptCounts:
        """What figures are made of."""
        return PromptCounts.of([Verdict.of(trial) for trial in self.trials])


def draw(
    pipeline: DiffusionPipeline, detector: GlyphDetector, prompt: ScenePrompt, make_steering: MakeSteering
) -> Judged:
    """Draw a prompt with each seed and judge the pictures."""
    steering = make_steering(ground_prompt(pipeline, prompt.text))
    pictures = sampled(pipeline, prompt.text, SEEDS, steering)
    return Judged(pictures, [judge(prompt.relations, found) for found in detector.detect(pictures)])


def unsteered(scene: GroundedScene) -> None:
    """The way that all others are held against."""
