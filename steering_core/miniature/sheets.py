"""Sheets of pictures: what a training has come to, and samples of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor

from ..pictures import save_picture
from .captions import caption
from .pictures import PictureSettings, layout, rendered, to_tensor
from .score import STEPS, sampled
from .world import IMAGE_SIZE

_SHEET_COLUMNS = 8
_SHEET_PROMPTS = (
    "a photo of a giraffe above an airplane",
    "a photo of a dog to the left of a book",
    "a photo of a zebra below a bus",
    "a cat and an umbrella",
    "a cow to the right of a clock",
    "a horse above a boat",
    "a pizza, a car and a bird",
    "an apple",
)


@torch.no_grad()
def draw_sheet(pipeline: DiffusionPipeline, seed: int, work_dir: Path, step: int) -> None:
    """Write what a pipeline draws at a step of its training: two rows, a column for each prompt."""
    drawn = [sampled(pipeline, prompt, (seed, seed + 1), steps=STEPS) for prompt in _SHEET_PROMPTS]
    pictures = torch.stack(drawn, dim=1).flatten(0, 1)
    save_sheet(pictures * 2 - 1, len(_SHEET_PROMPTS), work_dir / f"denoiser_{step}.png")


def save_sheet(pictures: Tensor, columns: int, file: Path) -> None:
    """Write pictures (count, 3, H, W) in [-1, 1] as one grid."""
    grid = ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().cpu().permute(0, 2, 3, 1)
    count, height, width, _ = grid.shape
    grid = grid.reshape(count // columns, columns, height, width, 3).transpose(1, 2)
    save_picture(Image.fromarray(grid.reshape(count // columns * height, columns * width, 3).numpy()), file)


def draw_samples(count: int, seed: int, out: Path, pipeline: DiffusionPipeline | None) -> list[str]:
    """Write a sheet of the second stage's pictures, or of a pipeline's own for the same captions.

    Returns:
        The captions, row by row.
    """
    layouts = [layout(PictureSettings(seed=seed), index) for index in range(count)]
    rng = np.random.default_rng((seed, 4))
    captions = [caption(rng, layout.placements) for layout in layouts]
    if pipeline is None:
        pictures = to_tensor(rendered(layouts), "cpu")
    else:
        pictures = 2 * torch.cat([sampled(pipeline, text, [seed]) for text in captions]) - 1
    columns = min(count, _SHEET_COLUMNS)
    blank = torch.ones(-count % columns, 3, IMAGE_SIZE, IMAGE_SIZE)
    save_sheet(torch.cat([pictures, blank]), columns, out)
    return captions
