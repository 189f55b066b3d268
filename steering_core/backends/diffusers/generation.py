"""Pipelines of the diffusers library, called for pictures with steering or without."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from contextlib import nullcontext
from numbers import Real
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from ...schedule import is_integral
from ...steering import Steering
from ...wording import brief
from .pipelines import check_draws_from_text, kind_of, least_side
from .restarting import called_with_restarts
from .sampling import steered
from .schedulers import check_steps
from .text import check_prompt


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
            number; the size is not of two whole numbers above 0, or none that the pipeline can draw; the pipeline wants
            a picture as well, its guidance knows no negative prompt, or its scheduler not so many steps.
        TypeError: the steering is none.
        SteeringError: the steering is of another prompt.
        See ``steered``; restarts are no fault here.
    """
    _check_numbers(seeds, guidance_scale, size)
    check_draws_from_text(pipeline)
    if steering is not None and not isinstance(steering, Steering):
        raise TypeError(f"steering: a Steering, made with a scene and a loss, was expected, not {brief(steering)}.")
    if steering is not None and steering.scene.relations:
        check_prompt(pipeline, steering.scene, prompt)
    kind = kind_of(pipeline)
    guidance = kind.guidance_of(pipeline)
    options: dict[str, Any] = {guidance.argument: guidance_scale, **kind.text_options(pipeline)}
    if guidance.nothing is not None:
        options["negative_prompt"] = negative_prompt or guidance.nothing
    elif negative_prompt:
        raise ValueError(f"negative prompt: the guidance of {kind.name} does not lead away from one. Leave it out.")
    check_steps(pipeline.scheduler, steps)
    if size is not None:
        _check_size(pipeline, size)
    if (size := size or kind.size_of(pipeline)) is not None:
        options["width"], options["height"] = size
        if "max_area" in inspect.signature(type(pipeline).__call__).parameters:  # by which it scales them otherwise
            options["max_area"] = size[0] * size[1]

    def call(seeds: Sequence[int]) -> Tensor:
        return pipeline(
            prompt=prompt,
            num_inference_steps=steps,
            num_images_per_prompt=len(seeds),
            output_type="pt",
            generator=[torch.Generator().manual_seed(int(seed)) for seed in seeds],
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
    wrong = [one for one in seeds if not (isinstance(one, Real) and is_integral(one) and -(2**63) <= one < 2**64)]
    if wrong:
        raise ValueError(f"seeds: whole numbers of 64 bits were expected, not {brief(wrong[0])}.")
    if not math.isfinite(guidance_scale):
        raise ValueError(f"guidance_scale: a finite number was expected, not {guidance_scale}.")
    if size is not None and not (len(size) == 2 and all(is_integral(side) and side > 0 for side in size)):
        raise ValueError(f"size: width and height in whole pixels were expected, not {size}.")


def _check_size(pipeline: DiffusionPipeline, size: tuple[int, int]) -> None:
    """Refuse a size that the pipeline would change.

    Raises:
        ValueError: says which it can draw.
    """
    multiple = least_side(pipeline)
    if any(side % multiple for side in size):
        raise ValueError(
            f"size: multiples of {multiple} were expected, which {type(pipeline).__name__} can draw, not {size[0]} and "
            f"{size[1]}."
        )
