"""Pipelines of the diffusers library, called for pictures with steering or without."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from ...schedule import is_integral
from ...steering import Steering, SteeringError
from ...tokens import GroundedScene
from ...wording import brief
from .pipelines import kind_of
from .restarting import called_with_restarts
from .sampling import steered
from .schedulers import check_steps
from .text import check_tokens, prompt_tokens


def generate(
    pipeline: DiffusionPipeline,
    prompt: str,
    seeds: Sequence[int],
    steering: Steering | None,
    steps: int,
    guidance_scale: float,
    negative_prompt: str = "",
    size: tuple[int, int] | None = None,
) -> Tensor:
    """One picture of the prompt for each seed, as one batch: (seeds, 3, H, W) in [0, 1] on the CPU.

    Args:
        steering: none samples as the pipeline does by itself.
        size: (width, height) in pixels; the pipeline's own when not given.

    Raises:
        ValueError: there is no seed, or one that is no whole number of 64 bits; the guidance scale is no finite
            number; the size is not of two whole numbers above 0; the pipeline's guidance knows no negative prompt, or
            its scheduler not so many steps.
        TypeError: the steering is none.
        SteeringError: the steering is of another prompt.
        See ``steered``; restarts are no fault here.
    """
    _check_numbers(seeds, guidance_scale, size)
    if steering is not None and not isinstance(steering, Steering):
        raise TypeError(f"steering: a Steering, made with a scene and a loss, was expected, not {brief(steering)}.")
    if steering is not None and steering.scene.relations:
        _check_own(pipeline, prompt, steering.scene)
    kind = kind_of(pipeline)
    guidance = kind.guidance_of(pipeline)
    options: dict[str, Any] = {guidance.argument: guidance_scale, **kind.text_options(pipeline)}
    if guidance.nothing is not None:
        options["negative_prompt"] = negative_prompt or guidance.nothing
    elif negative_prompt:
        raise ValueError(f"negative prompt: the guidance of {kind.name} does not lead away from one. Leave it out.")
    check_steps(pipeline.scheduler, steps)
    if (size := size or kind.size_of(pipeline)) is not None:
        options["width"], options["height"] = size

    def call(seeds: Sequence[int]) -> Tensor:
        return pipeline(
            prompt=prompt,
            num_inference_steps=steps,
            num_images_per_prompt=len(seeds),
            output_type="pt",
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            **options,
        ).images.cpu()

    if steering is not None and steering.schedule.restarts and steering.scene.relations:
        return called_with_restarts(pipeline, steering, call, seeds)
    with steered(pipeline, steering) if steering else nullcontext():
        return call(seeds)


def _check_numbers(seeds: Sequence[int], guidance_scale: float, size: tuple[int, int] | None) -> None:
    """Refuse numbers that torch or the pipeline would take for others, or not name.

    Raises:
        ValueError: see ``generate``.
    """
    if not seeds:
        raise ValueError("seeds: one or more were expected, one for each picture.")
    if wrong := [seed for seed in seeds if not is_integral(seed) or not -(2**63) <= seed < 2**64]:
        raise ValueError(f"seeds: whole numbers of 64 bits were expected, not {wrong[0]}.")
    if not math.isfinite(guidance_scale):
        raise ValueError(f"guidance_scale: a finite number was expected, not {guidance_scale}.")
    if size is not None and not (len(size) == 2 and all(is_integral(side) and side > 0 for side in size)):
        raise ValueError(f"size: width and height in whole pixels were expected, not {size}.")


def _check_own(pipeline: DiffusionPipeline, prompt: str, scene: GroundedScene) -> None:
    """Refuse relations of another prompt, whose tokens stand for other words here.

    Raises:
        SteeringError: names both.
    """
    if tuple(prompt_tokens(pipeline, prompt)) != scene.sequence:
        check_tokens(pipeline, scene)
        raise SteeringError(
            f"prompt: {brief(prompt)} is to be drawn, and the steering is of {brief(scene.scene.prompt)}. Make it with "
            f"ground_prompt and the prompt that is drawn."
        )
