"""Accuracy against cost as a picture: the ways with their intervals, and the front of those that none beats in both."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from PIL import Image

_PANEL = (6.0, 5.0)
_MARKS = "osD^v<>pPX*hdH8"
_DPI = 110
#: Costs that are written below a panel, and ten times each.
_TICKS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)


@dataclass(frozen=True)
class Point:
    """One way.

    Attributes:
        name: what it is called in every panel.
        cost: greater than 0.
        value: in [0, 1].
        interval: around the value.
        is_marked: whether it is the default.
    """

    name: str
    cost: float
    value: float
    interval: tuple[float, float]
    is_marked: bool = False


def front(points: Sequence[Point]) -> list[Point]:
    """Those with a greater value than all that cost no more, cheapest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, -point.value)):
        if not best or point.value > best[-1].value:
            best.append(point)
    return best


def front_chart(panels: Mapping[str, Sequence[Point]], across: str, up: str) -> Image.Image:
    """A panel for each title, the names told once below.

    Args:
        across, up: what cost and value are.
    """
    figure = Figure(figsize=(_PANEL[0] * len(panels), _PANEL[1]), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for panel, (title, points) in zip(axes, panels.items()):
        _draw(panel, points)
        panel.set(title=title, xlabel=across, xscale="log")
        panel.xaxis.set_major_locator(LogLocator(subs=_TICKS))
        panel.xaxis.set_major_formatter("{x:g} ×")
        panel.xaxis.set_minor_formatter("")
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        panel.grid(alpha=0.3)
    axes[0].set_ylabel(up)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3 * len(panels), fontsize="small")
    canvas = FigureCanvasAgg(figure)
    picture = io.BytesIO()
    canvas.print_figure(picture, format="png", dpi=_DPI)
    return Image.open(picture)


def _draw(panel: Axes, points: Sequence[Point]) -> None:
    for number, point in enumerate(points):
        low, high = point.interval
        panel.errorbar(
            point.cost,
            point.value,
            yerr=[[max(point.value - low, 0)], [max(high - point.value, 0)]],  # rounding can put it outside by a hair
            fmt=_MARKS[number % len(_MARKS)],
            color=f"C{number % 10}",
            markersize=13 if point.is_marked else 7,
            markeredgecolor="black" if point.is_marked else None,
            elinewidth=0.8,
            label=point.name,
        )
    best = front(points)
    panel.plot([point.cost for point in best], [point.value for point in best], "--", color="grey", label="the front")
