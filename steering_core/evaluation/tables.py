"""Results as Markdown: a row for each arm, shares in percent with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .figures import Figures
from .results import ArmResult
from .statistics import Estimate


def markdown(results: Sequence[ArmResult], scored: bool, distances: Mapping[str, float]) -> str:
    """The table of all prompts, one of variety and cost, one by relation and one by object.

    Args:
        scored: whether the rule has a score of its own, which gets a column.
        distances: of each arm's pictures from the first arm's, if they were measured (``frechet_distance``).
    """
    count = len(results[0].all.visor_n)
    head = ["arm", "pictures", "OA", "VISOR-cond", "VISOR-uncond", *(f"VISOR-{n}" for n in range(1, count + 1))]
    head += ["score"] * scored + ["more than the first"]
    rows = []
    for result in results:
        shares = (result.all.oa, result.all.visor_cond, result.all.visor_uncond, *result.all.visor_n)
        rows.append([result.name, str(result.all.pictures), *map(percent, shares)])
        rows[-1] += [decimal(result.all.score)] * scored + ["" if result.gain is None else points(result.gain)]
    variety = [[one.name, _number(one.spread_of_places), _number(one.spread_of_sizes)] for one in results]
    head_of_variety = ["arm", "spread of places", "spread of sizes"]
    if distances:
        variety = [[*row, _number(distances[row[0]])] for row in variety]
        head_of_variety.append("Fréchet distance")
    variety = [[*row, *map(_number, vars(one.cost).values())] for row, one in zip(variety, results)]
    head_of_variety += ["seconds a picture", "looks", "gradient passes"]
    parts = [markdown_table(head, rows), markdown_table(head_of_variety, variety)]
    for title, groups in (("relation", "by_relation"), ("object", "by_object")):
        of_arms = [getattr(result, groups) for result in results]
        head = [title, "pictures", *(f"{result.name}: VISOR-uncond" for result in results)]
        parts.append(markdown_table(head, [_row(name, [of_arm[name] for of_arm in of_arms]) for name in of_arms[0]]))
    return "\n\n".join(parts) + "\n"


def percent(one: Estimate) -> str:
    """Such as "71.5% (68% to 75%)"."""
    return "none" if math.isnan(one.value) else f"{one.value:.1%} ({one.low:.0%} to {one.high:.0%})"


def points(one: Estimate) -> str:
    """Such as "+12.5 points (+8 to +17)"."""
    if math.isnan(one.low):
        return f"{100 * one.value:+.1f} points"
    return f"{100 * one.value:+.1f} points ({100 * one.low:+.0f} to {100 * one.high:+.0f})"


def decimal(one: Estimate) -> str:
    """Such as "0.421 (0.38 to 0.46)"."""
    return f"{one.value:.3f} ({one.low:.2f} to {one.high:.2f})"


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"


def _row(name: str, of_arms: Sequence[Figures]) -> list[str]:
    return [name, str(of_arms[0].pictures), *(percent(figures.visor_uncond) for figures in of_arms)]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells as a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)
