"""The demo: the same seeds unsteered and steered, on prompts that the miniature never saw."""

from __future__ import annotations

from PIL import Image
from tqdm import tqdm

from ..backends.diffusers import load_pipeline
from ..evaluation.visor import Trial, VisorScores
from ..relations import Relation
from ..viz import MISSING, RIGHT, WRONG, SheetRow, contact_sheet
from .detector import GlyphDetector
from .folder import MINIATURE_DIR
from .prompts import ScenePrompt, unseen_pair_prompts
from .score import SEEDS, MakeSteering, Tally, draw, unsteered
from .world import IMAGE_SIZE

_FIRST = ScenePrompt((("giraffe", Relation.ABOVE, "airplane"),))
#: A picture of the miniature, its frame and its label.
_ROW_HEIGHT = IMAGE_SIZE + 40
_LEGEND = "green: as the prompt says; red: in the wrong place; brown: an object is missing"


def draw_demo(make_steering: MakeSteering, count: int) -> tuple[Image.Image, dict[str, VisorScores]]:
    """Draw and score.

    Args:
        make_steering: the steered arm.
        count: how many prompts.

    Returns:
        The contact sheet, and the scores of each way by its name.
    """
    pipeline, detector = load_pipeline(MINIATURE_DIR, "cpu"), GlyphDetector()
    others = [prompt for prompt in unseen_pair_prompts(count, seed=0) if prompt != _FIRST]
    ways = {"unsteered": unsteered, "steered": make_steering}
    tallies = {name: Tally() for name in ways}
    rows = []
    for prompt in tqdm([_FIRST, *others][:count], desc="drawing", unit="prompt"):
        for name, way in ways.items():
            drawn = draw(pipeline, detector, prompt, way, tallies[name])
            rows.append(SheetRow(f"{prompt.text}: {name}", drawn.pictures, [_frame(trial) for trial in drawn.trials]))
    return contact_sheet(rows, _LEGEND), {name: tally.scores for name, tally in tallies.items()}


def sheet_size(count: int) -> tuple[int, int]:
    """(width, height) in pixels that the contact sheet of so many prompts stays within."""
    return len(SEEDS) * _ROW_HEIGHT, 2 * count * _ROW_HEIGHT + _ROW_HEIGHT


def _frame(trial: Trial) -> tuple[int, int, int]:
    return RIGHT if trial.correct else WRONG if trial.present else MISSING
