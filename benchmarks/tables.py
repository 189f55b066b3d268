"""Tables of the benchmarks' rows, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steering_core.evaluation.tables import markdown_table
from steering_core.miniature.score import SEEDS

#: Columns of how often something was done for a picture.
_PER_PICTURE = ("looks", "gradient_passes")
#: Titles of the columns that a table can have.
_TITLES = {
    "oa": "OA",
    "visor_cond": "VISOR-cond",
    "visor_uncond": "VISOR-uncond",
    **{f"visor_{n}": f"VISOR-{n}" for n in range(1, len(SEEDS) + 1)},
    "gradient_passes": "gradient passes",
    "looks": "looks",
    "time_ratio": "time",
}


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Shares in percent with 95 % intervals in brackets, gradient passes per picture.

    Args:
        columns: keys of the rows, beside loss, update and number of images.
    """
    head = ["loss", "update", "images", *(_TITLES[column] for column in columns)]
    lines = [
        [row["loss"], row["update"], str(row["images"]), *(_cell(row, column) for column in columns)] for row in rows
    ]
    return markdown_table(head, lines)


def _cell(row: dict[str, Any], column: str) -> str:
    """Such as "71.5% (68% to 75%)", "7.0" or "1.18 ×"."""
    if column == "time_ratio":
        return f"{row[column]:.2f} ×"
    if column in _PER_PICTURE:
        return f"{row[column]:.1f}"
    return share_cell(row, column)


def share_cell(row: dict[str, Any], column: str) -> str:
    """A share with its interval, such as "71.5% (68% to 75%)"."""
    if row[column] is None:
        return "none"
    low, high = row[f"{column}_interval"]
    return f"{row[column]:.1%} ({low:.0%} to {high:.0%})"
