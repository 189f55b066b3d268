"""A run of steering as curves: loss, displacement and gradient over the steps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .detection.look import Look
from .run_report import SteeringRun
from .trace import TraceEntry
from .viz import DARK, LIGHT, WRONG, Colour, object_colour

_WIDTH, _PANEL, _MARGIN = 768, 190, 14
_LEFT, _HEAD = 70, 26
_TEXT, _FAINT = 15, (63, 63, 70)
_COLUMNS = 90
#: Numbers on an axis stand at least so far apart, as a share of it.
_LEAST_APART = 0.15
#: Drawn larger by this and scaled down, for smooth lines.
_FINER = 2
#: What stands for the signs that Pillow's own font lacks.
_IN_LETTERS = str.maketrans(
    {"\N{CHECK MARK}": "+", "\N{BALLOT X}": "x", "\N{MULTIPLICATION SIGN}": "x", "\N{RIGHTWARDS ARROW}": "to"}
)


@dataclass(frozen=True)
class _Curve:
    """One line of a panel.

    Attributes:
        positions: on the axis of steps, (points,).
        values: (points, batch).
    """

    positions: Tensor
    values: Tensor
    colour: Colour


def run_curves(run: SteeringRun, look: Look | None = None, note: str = "") -> Image.Image:
    """Three panels, a colour for each relation: a thick line for the mean of the batch, thin ones for its images.

    A cross on the axis marks a step that was not steered. A run in which nothing was steered gives its lines
    as a picture.

    Args:
        look: what was seen in the finished pictures, if anyone looked.
        note: a line before all others.
    """
    told = [(note, None)] * bool(note) + run.lines(look)
    lines = [(line, LIGHT if number is None else object_colour(number)) for line, number in told]
    if not run.entries:
        return _drawn([], lines, (0, run.steps))
    probes = Counter(entry.step for entry in run.entries)

    def positions(entries: Sequence[TraceEntry]) -> Tensor:
        # Probes of one step stand side by side.
        return torch.tensor([entry.step + entry.refinement / probes[entry.step] for entry in entries])

    numbers = range(len(run.scene.relations))
    losses = [
        _Curve(positions(scored), torch.stack([entry.loss_of(number) for entry in scored]), object_colour(number))
        for number in numbers
        if (scored := run.scoring(number))
    ]
    everywhere = positions(run.entries)
    displacements = [_Curve(everywhere, run.displacements(number), object_colour(number)) for number in numbers]
    norms = torch.stack([entry.gradient_norm for entry in run.entries])
    panels = [
        ("loss: lower is better", losses),
        ("displacement in the attention: as the relation says above 0", displacements),
        ("gradient norm: 0 where the target is met", [_Curve(everywhere, norms, LIGHT)]),
    ]
    left_out = sorted({step.step for step in run.unsteered})
    shown = [*(entry.step for entry in run.entries), *left_out]
    return _drawn(panels, lines, (min(shown), max(shown) + 1), left_out)


def note_picture(note: str) -> Image.Image:
    """Words as a picture, for where there are no curves."""
    return _drawn([], [(line, LIGHT) for line in note.splitlines()], (0, 0))


def _drawn(
    panels: Sequence[tuple[str, Sequence[_Curve]]],
    lines: Sequence[tuple[str, Colour]],
    steps: tuple[int, int],
    left_out: Sequence[int] = (),
) -> Image.Image:
    """The panels below one another, and lines of text at the foot, each in its colour."""
    text = _TEXT + 8
    wrapped = [(part, colour) for line, colour in lines for part in wrap(line.translate(_IN_LETTERS), _COLUMNS)]
    height = _MARGIN * 2 + len(panels) * _PANEL + len(wrapped) * text
    picture = Image.new("RGB", (_WIDTH * _FINER, height * _FINER), DARK)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(_TEXT * _FINER)
    for index, (title, curves) in enumerate(panels):
        _draw_panel(pen, font, _MARGIN + index * _PANEL, title, curves, steps, left_out)
    for index, (line, colour) in enumerate(wrapped):
        top = _MARGIN + len(panels) * _PANEL + index * text
        pen.text((_MARGIN * _FINER, top * _FINER), line, fill=colour, font=font)
    return picture.resize((_WIDTH, height), Image.Resampling.LANCZOS)


def _draw_panel(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    top: int,
    title: str,
    curves: Sequence[_Curve],
    steps: tuple[int, int],
    left_out: Sequence[int],
) -> None:
    values = torch.cat([curve.values.flatten() for curve in curves])
    finite = [0.0, *values[values.isfinite()].tolist()]
    low, high = min(finite), max(finite)
    high = high if high > low else low + 1.0
    upper, lower = top + _HEAD, top + _PANEL - _HEAD - 4

    def point(position: float, value: float) -> tuple[float, float]:
        x = _LEFT + (position - steps[0]) / (steps[1] - steps[0]) * (_WIDTH - _LEFT - _MARGIN)
        y = lower + (value - low) / (high - low) * (upper - lower)
        return x * _FINER, y * _FINER

    pen.text((_MARGIN * _FINER, top * _FINER), title, fill=LIGHT, font=font)
    for value in sorted({low, 0.0, high}):
        pen.line((point(steps[0], value), point(steps[1], value)), fill=_FAINT, width=_FINER)
        if value and abs(value) < _LEAST_APART * (high - low):
            continue  # its number would lie on that of 0
        pen.text(point(steps[0], value), f"{value:.3g} ", fill=LIGHT, font=font, anchor="rm")
    for step in range(steps[0], steps[1] + 1, max(1, (steps[1] - steps[0]) // 12)):
        x, y = point(step, low)
        pen.line((x, y, x, y + 4 * _FINER), fill=_FAINT, width=_FINER)
        name = str(step + 1) if step < steps[1] else "step"
        pen.text((x, y + 5 * _FINER), name, fill=LIGHT, font=font, anchor="ma" if step < steps[1] else "ra")
    for step in left_out:
        x, y = point(step, low)
        for slant in (-4, 4):
            pen.line(
                (x - 4 * _FINER, y - slant * _FINER, x + 4 * _FINER, y + slant * _FINER), fill=WRONG, width=3 * _FINER
            )
    for curve in curves:
        images = curve.values.unbind(dim=1) if curve.values.shape[1] > 1 else ()
        for values, colour, width in (
            *((image, _between(curve.colour, DARK), 1) for image in images),
            (_finite_mean(curve.values), curve.colour, 3),
        ):
            points = [point(*at) for at in zip(curve.positions.tolist(), values.tolist()) if math.isfinite(at[1])]
            pen.line(points, fill=colour, width=width * _FINER, joint="curve")
            if width > 1:
                for x, y in points:
                    pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour)


def _finite_mean(values: Tensor) -> Tensor:
    """Of (points, batch) over the batch, of what is a finite number; (points,), nan where nothing is."""
    return values.where(values.isfinite(), torch.nan).nanmean(dim=1)


def _between(a: Colour, b: Colour) -> Colour:
    red, green, blue = ((one + other) // 2 for one, other in zip(a, b))
    return red, green, blue
