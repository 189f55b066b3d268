"""``steer demo``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import save_picture
from ..steering import Steering
from .options import check_picture, whole
from .steering import LOSSES, add_steering_options, loss_of, schedule_of

if TYPE_CHECKING:
    from ..evaluation.visor import VisorScores

#: A row for each of two ways stays within what picture formats hold.
_MOST_PROMPTS = 200


def add_demo_command(commands: argparse._SubParsersAction) -> None:
    """``steer demo``."""
    demo = commands.add_parser("demo", help="draw the same seeds unsteered and steered, and score both")
    demo.add_argument(
        "--out", type=Path, default=Path("demo.png"), help="contact sheet to write (default: %(default)s)"
    )
    demo.add_argument(
        "--prompts", type=whole(1, _MOST_PROMPTS), default=8, help="how many prompts (default: %(default)s)"
    )
    add_steering_options(demo, LOSSES)
    demo.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> None:
    from ..miniature.demo import draw_demo, sheet_size

    check_picture(options.out, sheet_size(options.prompts))
    loss, schedule = loss_of(options), schedule_of(options)
    sheet, scores = draw_demo(lambda scene: Steering(scene, loss, schedule), options.prompts)
    save_picture(sheet, options.out)
    print(_table(scores))
    print(f"Contact sheet: {options.out}")


def _table(scores: dict[str, VisorScores]) -> str:
    lines = [f"{'':12}{'images':>8}{'OA':>8}{'VISOR-cond':>12}{'VISOR-uncond':>14}"]
    for name, score in scores.items():
        lines.append(f"{name:12}{score.images:8}{score.oa:8.1%}{score.visor_cond:12.1%}{score.visor_uncond:14.1%}")
    return "\n".join(lines)
