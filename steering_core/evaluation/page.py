"""Results as one HTML page that needs nothing beside it: tables, plot, and pictures to be filtered."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape

from PIL import Image

from ..report.viz import VERDICT_COLOURS
from .folder import EvaluationFolder
from .results import ArmResult, verdicts
from .rules import Rule
from .statistics import Estimate
from .tables import Table

#: Longest side of a picture on the page, in pixels, and how well it is kept.
_SIDE, _QUALITY = 192, 80
#: Of the plot, in pixels.
_WIDTH, _ROW, _LEFT = 640, 18, 200
_SHARES = {"OA": "oa", "VISOR-cond": "visor_cond", "VISOR-uncond": "visor_uncond"}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #18181b }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .3rem .8rem; text-align: right }
th { border-bottom: 2px solid #d4d4d8 } th:first-child, td:first-child { text-align: left }
.filters { position: sticky; top: 0; background: #fff; padding: .6rem 0; display: flex; gap: 1.2rem; flex-wrap: wrap }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: 1rem }
figure { margin: 0 } figure[hidden] { display: none } figure img { width: 100%; border: 5px solid; display: block }
figcaption { font-size: 13px; color: #3f3f46; overflow-wrap: anywhere }
"""
_SCRIPT = """
const filters = [...document.querySelectorAll("select")];
const figures = [...document.querySelectorAll("figure")];
const fits = (figure, filter) => !filter.value || figure.dataset[filter.name].split(" ").includes(filter.value);
const show = () => {
  for (const figure of figures) figure.hidden = !filters.every((filter) => fits(figure, filter));
  document.getElementById("shown").textContent = figures.filter((figure) => !figure.hidden).length;
};
for (const filter of filters) filter.addEventListener("change", show);
show();
"""


def html_page(
    folder: EvaluationFolder, results: Sequence[ArmResult], tables: Sequence[Table], rule: Rule, pictures: int
) -> str:
    """The page.

    Args:
        tables: of the results, the first of which is not folded.
        pictures: at most so many of each arm, the same of all, spread over the prompts.

    Raises:
        OSError: a picture cannot be read.
        ValueError: a file of what was found is damaged.
    """
    arms = [result.name for result in results]
    relations = list(results[0].by_relation)
    filters = {"arm": arms, "relation": relations, "verdict": list(VERDICT_COLOURS)}
    name = escape(folder.suite.name)
    return "\n".join(
        (
            f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{name}</title>',
            f"<style>{_STYLE}</style>\n<h1>{name}</h1>",
            _table(tables[0]),
            _plot(results),
            *map(_folded, tables[1:]),
            "<h2>Pictures</h2>",
            f'<div class="filters">{"".join(_filter(*one) for one in filters.items())}<span><b id="shown"></b> '
            f"shown</span></div>",
            f'<div class="gallery">{"".join(_figures(folder, arms, rule, pictures))}</div>',
            f"<script>{_SCRIPT}</script>\n</html>\n",
        )
    )


def _table(table: Table) -> str:
    rows = [("th", table.head), *(("td", row) for row in table.rows)]
    lines = (f"<tr>{''.join(f'<{tag}>{escape(cell)}' for cell in cells)}" for tag, cells in rows)
    return f"<table>{''.join(lines)}</table>"


def _folded(table: Table) -> str:
    return f"<details><summary>{escape(table.title)}</summary>{_table(table)}</details>"


def _plot(results: Sequence[ArmResult]) -> str:
    """Bars with their intervals, a group for each share."""
    lines, top = [], 0
    for title, name in _SHARES.items():
        lines.append(f'<text x="0" y="{top + _ROW}" font-weight="bold">{title}</text>')
        for result in results:
            top += _ROW
            lines.append(_bar(result.name, getattr(result.all, name), top))
        top += 2 * _ROW
    return f'<svg width="{_WIDTH}" height="{top}" font-size="13" role="img">{"".join(lines)}</svg>'


def _bar(name: str, one: Estimate, top: int) -> str:
    y = top + _ROW // 2
    label = f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{escape(name)}</text>'
    if one.value != one.value:
        return label
    value, low, high = (_LEFT + round(share * (_WIDTH - _LEFT - 60), 1) for share in (one.value, one.low, one.high))
    return (
        f'{label}<rect x="{_LEFT}" y="{y - 6}" width="{value - _LEFT:.1f}" height="12" fill="#a5b4fc"/>'
        f'<line x1="{low}" x2="{high}" y1="{y}" y2="{y}" stroke="#312e81" stroke-width="2"/>'
        f'<text x="{high + 6}" y="{y + 4}">{one.value:.1%}</text>'
    )


def _filter(name: str, values: Sequence[str]) -> str:
    options = "".join(f"<option>{escape(value)}</option>" for value in values)
    return f'<label>{name} <select name="{name}"><option value="">all</option>{options}</select></label>'


def _figures(folder: EvaluationFolder, arms: Sequence[str], rule: Rule, pictures: int) -> Iterator[str]:
    suite = folder.suite
    every = len(suite.prompts) * len(suite.seeds)
    wanted = sorted({at * every // min(pictures, every) for at in range(min(pictures, every))})
    for at in wanted:
        number, place = divmod(at, len(suite.seeds))
        prompt, seed = suite.prompts[number], suite.seeds[place]
        relations = " ".join(dict.fromkeys(relation.value for _, relation, _ in prompt.relations))
        for arm in arms:
            verdict = verdicts(folder, arm, number, rule)[place].trial.verdict
            colour = "#{:02x}{:02x}{:02x}".format(*VERDICT_COLOURS[verdict])
            source = _data(folder.read_picture(arm, number, seed))
            yield (
                f'<figure data-arm="{escape(arm)}" data-relation="{relations}" data-verdict="{verdict}">'
                f'<img src="{source}" style="border-color: {colour}" alt="{escape(prompt.text)}">'
                f"<figcaption>{escape(prompt.text)}<br>{escape(arm)}, seed {seed}: {verdict}</figcaption></figure>\n"
            )


def _data(picture: Image.Image) -> str:
    """A small copy as the address of an image."""
    picture.thumbnail((_SIDE, _SIDE))
    with io.BytesIO() as file:
        picture.save(file, "JPEG", quality=_QUALITY)
        return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
