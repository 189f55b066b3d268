"""Pipelines of the diffusers library: loaded from a folder, and run with steering."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, FluxPipeline, StableDiffusionPipeline
from diffusers.utils import is_accelerate_available
from torch import Tensor

from ...described import brief, described, one_line, read_json
from ...hub import local_folder
from ...steering import Steering
from .sampling import steered


def load_pipeline(source: str | Path, device: str) -> DiffusionPipeline:
    """Load a pipeline without its safety checker and without asking the network.

    On the CPU it computes in float32, elsewhere in float16.

    Args:
        source: a pipeline's folder, or the name of one in the Hugging Face cache of this machine.

    Raises:
        ValueError: there is none, it is of another kind or damaged, or the device cannot be used.
    """
    check_device(device)
    if Path(source).is_file():
        raise ValueError(
            f"{source} is a file; the folder of a diffusers pipeline was expected. Convert a checkpoint with: "
            f"StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)"
        )
    folder = local_folder(source, "model_index.json")
    kind = described(_ModelIndex, read_json(folder / "model_index.json"), str(folder), strict=False)._class_name
    kinds = {StableDiffusionPipeline.__name__: StableDiffusionPipeline, FluxPipeline.__name__: FluxPipeline}
    if kind not in kinds:
        raise ValueError(
            f"{source} holds a {brief(kind)}; a StableDiffusionPipeline (Stable Diffusion 1.x or 2.x, or the "
            f"miniature) or a FluxPipeline was expected."
        )
    unchecked = {"safety_checker": None, "requires_safety_checker": False} if kind == "StableDiffusionPipeline" else {}
    try:
        pipeline = kinds[kind].from_pretrained(
            folder,
            local_files_only=True,
            dtype=torch.float32 if torch.device(device).type == "cpu" else torch.float16,
            **unchecked,
            low_cpu_mem_usage=is_accelerate_available(),
        )
    except Exception as error:  # a damaged configuration ends in whatever its classes make of it
        raise ValueError(f"{source} cannot be loaded, a file is missing or damaged: {one_line(error)}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


@dataclass(frozen=True)
class _ModelIndex:
    """What a pipeline's folder says of itself."""

    _class_name: str


def check_device(device: str) -> None:
    """Refuse a device on which torch cannot compute here.

    Raises:
        ValueError: it cannot, or there is none of this name.
    """
    try:
        (torch.ones(1, device=device) + 1).item()  # the device meta fails no sooner than here
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"The device {brief(device)} cannot be used here; cpu always can, cuda with a GPU: {one_line(error)}"
        ) from error


def generate(
    pipeline: DiffusionPipeline,
    prompt: str,
    seeds: Sequence[int],
    steering: Steering | None,
    steps: int,
    guidance_scale: float = 1.0,
    negative_prompt: str | Sequence[str] = "",
    **options: Any,
) -> Tensor:
    """One picture of the prompt for each seed, as one batch: (seeds, 3, H, W) in [0, 1] on the CPU.

    Args:
        steering: none samples as the pipeline does by itself.
        options: further arguments of the pipeline's call.

    Raises:
        See ``steered``.
    """
    with steered(pipeline, steering) if steering else nullcontext():
        return pipeline(
            prompt,
            negative_prompt=negative_prompt,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            num_images_per_prompt=len(seeds),
            output_type="pt",
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            **options,
        ).images.cpu()
