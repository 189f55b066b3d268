"""Results in tables: a row for each arm, shares in percent with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .figures import Figures
from .results import ArmResult
from .statistics import Estimate


class Table(NamedTuple):
    """Cells as they are shown."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables_of(results: Sequence[ArmResult], scored: bool, distances: Mapping[str, float]) -> list[Table]:
    """That of all prompts, one of variety and cost, one by relation and one by object.

    Args:
        scored: whether the rule has a score of its own, which gets a column.
        distances: of each arm's pictures from the first arm's, if they were measured (``frechet_distance``).
    """
    tables = [_all_prompts(results, scored), _variety_and_cost(results, distances)]
    for title, groups in (("relation", "by_relation"), ("object", "by_object")):
        of_arms = [getattr(result, groups) for result in results]
        head = [title, "pictures", *(f"{result.name}: VISOR-uncond" for result in results)]
        rows = [_row(name, [of_arm[name] for of_arm in of_arms]) for name in of_arms[0]]
        tables.append(Table(f"By {title}", head, rows))
    return tables


def markdown(tables: Sequence[Table]) -> str:
    """All tables, one after the other."""
    return "\n\n".join(markdown_table(table.head, table.rows) for table in tables) + "\n"


def _all_prompts(results: Sequence[ArmResult], scored: bool) -> Table:
    count = len(results[0].all.visor_n)
    head = ["arm", "pictures", "OA", "VISOR-cond", "VISOR-uncond", *(f"VISOR-{n}" for n in range(1, count + 1))]
    head += ["score"] * scored + ["more than the first"]
    rows = []
    for result in results:
        shares = (result.all.oa, result.all.visor_cond, result.all.visor_uncond, *result.all.visor_n)
        rows.append([result.name, str(result.all.pictures), *map(percent, shares)])
        rows[-1] += [decimal(result.all.score)] * scored + ["" if result.gain is None else points(result.gain)]
    return Table("All prompts", head, rows)


def _variety_and_cost(results: Sequence[ArmResult], distances: Mapping[str, float]) -> Table:
    head = ["arm", "spread of places", "spread of sizes", *["Fréchet distance"] * bool(distances)]
    head += ["seconds a picture", "looks", "gradient passes"]
    rows = []
    for one in results:
        distance = [distances[one.name]] if distances else []
        values = (one.spread_of_places, one.spread_of_sizes, *distance, *vars(one.cost).values())
        rows.append([one.name, *map(_number, values)])
    return Table("Variety and cost", head, rows)


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
