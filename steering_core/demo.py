"""The demo: the same seeds unsteered and steered, on prompts that the miniature never saw."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from .backends.diffusers import load_pipeline
from .evaluation.visor import Trial, VisorScores
from .miniature.detector import GlyphDetector
from .miniature.folder import MINIATURE_DIR
from .miniature.prompts import ScenePrompt, unseen_pair_prompts
from .miniature.score import SEEDS, MakeSteering, Tally, draw, unsteered
from .miniature.world import IMAGE_SIZE
from .options import save_picture
from .relations import Relation
from .viz import MISSING, RIGHT, WRONG, SheetRow, contact_sheet

_FIRST = ScenePrompt((("giraffe", Relation.ABOVE, "airplane"),))
#: A picture of the miniature, its frame and its label.
_ROW_HEIGHT = IMAGE_SIZE + 40
_LEGEND = "green: as the prompt says; red: in the wrong place; brown: an object is missing"


def run_demo(make_steering: MakeSteering, count: int, out: Path) -> None:
    """Draw, score and write the contact sheet.

    Args:
        make_steering: the steered arm.
        count: how many prompts.
        out: the contact sheet.
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
    save_picture(contact_sheet(rows, _LEGEND), out)
    print(_table({name: tally.scores for name, tally in tallies.items()}))
    print(f"Contact sheet: {out}")


def sheet_size(count: int) -> tuple[int, int]:
    """(width, height) in pixels that the contact sheet of so many prompts stays within."""
    return len(SEEDS) * _ROW_HEIGHT, 2 * count * _ROW_HEIGHT + _ROW_HEIGHT


def _frame(trial: Trial) -> tuple[int, int, int]:
    return RIGHT if trial.correct else WRONG if trial.present else MISSING


def _table(scores: dict[str, VisorScores]) -> str:
    lines = [f"{'':12}{'images':>8}{'OA':>8}{'VISOR-cond':>12}{'VISOR-uncond':>14}"]
    for name, score in scores.items():
        lines.append(f"{name:12}{score.images:8}{score.oa:8.1%}{score.visor_cond:12.1%}{score.visor_uncond:14.1%}")
    return "\n".join(lines)
