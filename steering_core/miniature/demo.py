"""The demo: the same seeds unsteered and steered, on prompts that the miniatures never saw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from ..backends.diffusers import load_pipeline
from ..evaluation.figures import Figures, PromptCounts, figures
from ..evaluation.suites import ScenePrompt
from ..relations.relation import Relation
from ..report.viz import VERDICT_COLOURS, SheetRow, contact_sheet
from .detector import GlyphDetector
from .prompts import unseen_pair_prompts
from .score import SEEDS, MakeSteering, draw, unsteered
from .world import IMAGE_SIZE

_FIRST = ScenePrompt((("giraffe", Relation.ABOVE, "airplane"),))
#: A picture of a miniature, its frame and its label.
_ROW_HEIGHT = IMAGE_SIZE + 40
#: That the legend's line stays within, in pixels.
_LEGEND_WIDTH = 900
_LEGEND = "green: as the prompt says; red: in the wrong place; brown: an object is missing"


def draw_demo(
    arms: Mapping[str, MakeSteering], count: int, folders: Mapping[str, Path]
) -> tuple[Image.Image, dict[tuple[str, str], Figures]]:
    """Draw and score.

    Args:
        arms: the steered arm of each miniature, by its name.
        count: how many prompts.
        folders: of the miniatures, whose pictures stand side by side, by their names.

    Returns:
        The contact sheet, and the figures by the names of miniature and way.
    """
    pipelines, detector = {name: load_pipeline(folder, "cpu") for name, folder in folders.items()}, GlyphDetector()
    others = [prompt for prompt in unseen_pair_prompts(count, seed=0) if prompt != _FIRST]
    ways = {"unsteered": dict.fromkeys(folders, unsteered), "steered": arms}
    counts: dict[tuple[str, str], list[PromptCounts]] = {(model, name): [] for model in folders for name in ways}
    rows = []
    for prompt in tqdm([_FIRST, *others][:count], desc="drawing", unit="prompt"):
        for name, way in ways.items():
            drawn = [draw(pipeline, detector, prompt, way[model]) for model, pipeline in pipelines.items()]
            for model, one in zip(pipelines, drawn):
                counts[model, name].append(one.counts)
            frames = [VERDICT_COLOURS[trial.verdict] for one in drawn for trial in one.trials]
            rows.append(SheetRow(f"{prompt.text}: {name}", torch.cat([one.pictures for one in drawn]), frames))
    legend = f"{', '.join(folders)}, {len(SEEDS)} pictures each; {_LEGEND}"
    return contact_sheet(rows, legend), {names: figures(of_prompts) for names, of_prompts in counts.items()}


def sheet_size(count: int, models: int) -> tuple[int, int]:
    """(width, height) in pixels that the contact sheet of so many prompts and miniatures stays within."""
    return max(models * len(SEEDS) * _ROW_HEIGHT, _LEGEND_WIDTH), 2 * count * _ROW_HEIGHT + _ROW_HEIGHT
