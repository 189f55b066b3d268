"""Ratios as a picture: bars, and a line at what is aimed at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from steering_core.report.viz import DARK, LIGHT, MISSING, RIGHT

_WIDTH, _MARGIN, _NAMES, _VALUES = 640, 14, 90, 60
_TEXT, _LINE = 14, 22


@dataclass(frozen=True)
class Bars:
    """One panel.

    Attributes:
        title: what is measured.
        aim: the most that it should be.
        values: by name, 0 or more.
    """

    title: str
    aim: float
    values: Mapping[str, float]


def bar_chart(panels: Sequence[Bars]) -> Image.Image:
    """The panels below one another: green is a bar that keeps to the aim, brown one that does not."""
    lines = sum(len(panel.values) + 2 for panel in panels)
    picture = Image.new("RGB", (_WIDTH, 2 * _MARGIN + lines * _LINE), DARK)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(_TEXT)
    top = _MARGIN
    for panel in panels:
        longest = max(panel.aim, *panel.values.values())
        scale = (_WIDTH - 2 * _MARGIN - _NAMES - _VALUES) / longest
        pen.text((_MARGIN, top), f"{panel.title}; aim: at most {panel.aim:g}", fill=LIGHT, font=font)
        first = top + _LINE
        for number, (name, value) in enumerate(panel.values.items()):
            left, upper = _MARGIN + _NAMES, first + number * _LINE
            right = left + value * scale
            pen.text((_MARGIN, upper), name, fill=LIGHT, font=font)
            colour = RIGHT if value <= panel.aim else MISSING
            pen.rectangle((left, upper + 2, right, upper + _LINE - 5), fill=colour)
            pen.text((right + 8, upper), f"{value:.2f}", fill=LIGHT, font=font)
        last = first + len(panel.values) * _LINE
        at = _MARGIN + _NAMES + panel.aim * scale
        pen.line((at, first, at, last), fill=LIGHT, width=2)
        top = last + _LINE
    return picture
