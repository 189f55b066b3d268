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

from ..detection.look import Look
from .run import SteeringRun
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

#: As Pillow draws text with.
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


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
    numbered = [(note, None)] * bool(note) + run.lines(look)
    lines = [(line, LIGHT if number is None else object_colour(number)) for line, number in numbered]
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


@dataclass(frozen=True)
class _Axes:
    """Where a panel's numbers lie in the picture: steps across, values upward.

    Attributes:
        top: of the panel, in pixels of the finished picture.
        steps: the first, and the one after the last.
        low: the least value, 0 or less.
        high: the largest, 0 or more and above ``low``.
    """

    top: int
    steps: tuple[int, int]
    low: float
    high: float

    @classmethod
    def of(cls, top: int, steps: tuple[int, int], curves: Sequence[_Curve]) -> _Axes:
        """Axes on which all finite values of these curves lie, and 0."""
        values = torch.cat([curve.values.flatten() for curve in curves])
        finite = [0.0, *values[values.isfinite()].tolist()]
        low, high = min(finite), max(finite)
        return cls(top, steps, low, high if high > low else low + 1.0)

    def point(self, position: float, value: float) -> tuple[float, float]:
        """(x, y) in pixels of the picture that is drawn."""
        upper, lower = self.top + _HEAD, self.top + _PANEL - _HEAD - 4
        first, end = self.steps
        x = _LEFT + (position - first) / (end - first) * (_WIDTH - _LEFT - _MARGIN)
        y = lower + (value - self.low) / (self.high - self.low) * (upper - lower)
        return x * _FINER, y * _FINER


def _draw_panel(
    pen: ImageDraw.ImageDraw,
    font: _Font,
    top: int,
    title: str,
    curves: Sequence[_Curve],
    steps: tuple[int, int],
    left_out: Sequence[int],
) -> None:
    """A title, and below it curves on axes of their own."""
    axes = _Axes.of(top, steps, curves)
    pen.text((_MARGIN * _FINER, top * _FINER), title, fill=LIGHT, font=font)
    _draw_values(pen, font, axes)
    _draw_steps(pen, font, axes)
    for step in left_out:
        _draw_cross(pen, axes.point(step, axes.low))
    for curve in curves:
        if curve.values.shape[1] > 1:
            for values in curve.values.unbind(dim=1):
                _draw_line(pen, _points(axes, curve.positions, values), _between(curve.colour, DARK), _FINER)
        _draw_mean(pen, axes, curve)


def _draw_values(pen: ImageDraw.ImageDraw, font: _Font, axes: _Axes) -> None:
    """A line across, and its number, for the least value, 0 and the largest."""
    first, end = axes.steps
    for value in sorted({axes.low, 0.0, axes.high}):
        pen.line((axes.point(first, value), axes.point(end, value)), fill=_FAINT, width=_FINER)
        if value and abs(value) < _LEAST_APART * (axes.high - axes.low):
            continue  # its number would lie on that of 0
        pen.text(axes.point(first, value), f"{value:.3g} ", fill=LIGHT, font=font, anchor="rm")


def _draw_steps(pen: ImageDraw.ImageDraw, font: _Font, axes: _Axes) -> None:
    """Ticks with the steps' numbers, of some where there are many."""
    first, end = axes.steps
    for step in range(first, end + 1, max(1, (end - first) // 12)):
        x, y = axes.point(step, axes.low)
        pen.line((x, y, x, y + 4 * _FINER), fill=_FAINT, width=_FINER)
        name = str(step + 1) if step < end else "step"
        pen.text((x, y + 5 * _FINER), name, fill=LIGHT, font=font, anchor="ma" if step < end else "ra")


def _draw_cross(pen: ImageDraw.ImageDraw, centre: tuple[float, float]) -> None:
    x, y = centre
    for slant in (-4, 4):
        pen.line((x - 4 * _FINER, y - slant * _FINER, x + 4 * _FINER, y + slant * _FINER), fill=WRONG, width=3 * _FINER)


def _draw_mean(pen: ImageDraw.ImageDraw, axes: _Axes, curve: _Curve) -> None:
    """A thick line with a dot for each point."""
    points = _points(axes, curve.positions, _finite_mean(curve.values))
    _draw_line(pen, points, curve.colour, 3 * _FINER)
    for x, y in points:
        pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=curve.colour)


def _draw_line(pen: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], colour: Colour, width: int) -> None:
    """Through all points, of which there may be none: Pillow draws no line then, but fails."""
    if points:
        pen.line(points, fill=colour, width=width, joint="curve")


def _points(axes: _Axes, positions: Tensor, values: Tensor) -> list[tuple[float, float]]:
    """Those of finite values, both (points,)."""
    numbers = zip(positions.tolist(), values.tolist())
    return [axes.point(position, value) for position, value in numbers if math.isfinite(value)]


def _finite_mean(values: Tensor) -> Tensor:
    """Of (points, batch) over the batch, of what is a finite number; (points,), nan where nothing is."""
    return values.where(values.isfinite(), torch.nan).nanmean(dim=1)


def _between(a: Colour, b: Colour) -> Colour:
    red, green, blue = ((one + other) // 2 for one, other in zip(a, b))
    return red, green, blue
