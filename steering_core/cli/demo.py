"""``steer demo``."""

from __future__ import annotations

import argparse
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..miniature.folder import SHIPPED
from ..pictures import save_picture
from ..steering import Steering
from .models import hide_loading_bars
from .options import check_picture, printable, whole
from .steering import LOSSES, add_steering_options, loss_of, schedule_of

if TYPE_CHECKING:
    from ..evaluation.figures import Figures

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
    demo.add_argument(
        "--model", choices=SHIPPED, nargs="+", default=list(SHIPPED), help="which miniatures draw (default: both)"
    )
    add_steering_options(demo, LOSSES)
    demo.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> None:
    from ..miniature.demo import draw_demo, sheet_size

    folders = {name: SHIPPED[name] for name in options.model}
    check_picture(options.out, sheet_size(options.prompts, len(folders)))
    schedule = schedule_of(options)
    arms = {name: partial(Steering, loss=loss_of(options, name), schedule=schedule) for name in folders}
    hide_loading_bars()
    sheet, figures = draw_demo(arms, options.prompts, folders)
    save_picture(sheet, options.out)
    print(_table(figures))
    print(f"Contact sheet: {printable(options.out)}")


def _table(figures: dict[tuple[str, str], Figures]) -> str:
    lines = [f"{'':28}{'images':>8}{'OA':>8}{'VISOR-cond':>12}{'VISOR-uncond':>14}"]
    for names, one in figures.items():
        of_both = "none" if math.isnan(one.visor_cond.value) else f"{one.visor_cond.value:.1%}"
        cells = f"{one.pictures:8}{one.oa.value:8.1%}{of_both:>12}{one.visor_uncond.value:14.1%}"
        lines.append(f"{' '.join(names):28}{cells}")
    return "\n".join(lines)
