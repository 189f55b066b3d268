"""Accuracy against time: ours at several settings, published methods, and what a user would do instead.

python -m benchmarks.accuracy_vs_cost                          both miniatures, 25 steps, as each of them draws best
python -m benchmarks.accuracy_vs_cost --steps 8 --guidance 1   few steps without guidance
python -m benchmarks.accuracy_vs_cost --quick                  two prompts and 8 steps, in two minutes on 2 cores
python -m benchmarks.accuracy_vs_cost --json                   one object with all rows
python -m benchmarks.accuracy_vs_cost --plot FILE              and a picture with the front
python -m benchmarks.accuracy_vs_cost --device cuda            on a card

On prompts of two objects that training never showed together and on which nothing was tuned, all ways draw with the
same seeds. Times are the processor's for the one thread of each process, so that what runs beside it counts for
nothing (on a card those of the wall, of one process); detection counts where it chooses among pictures. What each way
is, and how much of it is ours, is told where it is written: ``benchmarks.compared`` names them all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline

from benchmarks.command import (
    add_drawing_options,
    add_guidance_option,
    add_json_option,
    add_quick_option,
    drawing,
    refusing,
)
from benchmarks.compared import DEFAULT, UNSTEERED, ComparedWay, ways_of
from benchmarks.front import Point, front, front_chart
from benchmarks.measuring import Measurement, Sampling, draw_all, pairs_suite
from benchmarks.tables import share_cell
from steering_core.backends.diffusers import check_device, load_pipeline
from steering_core.cli.options import check_picture, positive
from steering_core.evaluation.tables import markdown_table
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.score import SEEDS, STEPS, guidance_scale_of
from steering_core.pictures import save_picture
from tools.command import command_line

_PROMPTS, _QUICK_PROMPTS, _QUICK_STEPS = 24, 2, 8
_COLUMNS = {"oa": "OA", "visor_cond": "VISOR-cond", "visor_uncond": "VISOR-uncond"}


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--model",
        nargs="+",
        default=list(SHIPPED),
        help="miniature or flux_miniature, which ship, or the folder of one of either shape (default: both)",
    )
    parser.add_argument(
        "--prompts", type=positive, metavar="N", help=f"(default: {_PROMPTS}; {_QUICK_PROMPTS} if quick)"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=SEEDS, help="of each prompt's pictures (default: 0 to 3)"
    )
    parser.add_argument(
        "--steps", type=positive, metavar="N", help=f"of the sampling (default: {STEPS}; {_QUICK_STEPS} if quick)"
    )
    add_guidance_option(parser)
    parser.add_argument(
        "--ways", nargs="+", metavar="WAY", help=f"beside {UNSTEERED} and {DEFAULT}, by their names in the table"
    )
    parser.add_argument("--device", default="cpu", help="such as cuda (default: %(default)s)")
    add_quick_option(parser, "few prompts and steps")
    add_json_option(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture to write")
    add_drawing_options(parser)
    options = parser.parse_args()
    count = options.prompts or (_QUICK_PROMPTS if options.quick else _PROMPTS)
    steps = options.steps or (_QUICK_STEPS if options.quick else STEPS)
    with drawing(options, options.device) as (out, pool):
        with refusing(parser):
            check_device(options.device)
            if options.plot:
                check_picture(options.plot)
            suite, measurements = pairs_suite(seeds=options.seeds), {}
            for name in options.model:
                model = load_pipeline(SHIPPED.get(name, name), "cpu")
                ways, sampling = _chosen(ways_of(model), options.ways), _sampling(name, model, steps, options)
                measurements[name] = Measurement.of(out, suite, range(count), ways, sampling)
        draw_all(measurements.values(), pool)
        tables = {name: _rows(name, measurement) for name, measurement in measurements.items()}
    if options.plot:
        panels = {_title(rows): [_point(row) for row in rows] for rows in tables.values()}
        save_picture(front_chart(panels, "time, over unsteered", "VISOR-uncond"), options.plot)
    if options.json:
        print(json.dumps({"rows": [row for rows in tables.values() for row in rows]}))
        return
    for rows in tables.values():
        print(f"{_title(rows)}\n\n{_table(rows)}\n")


def _sampling(name: str, model: DiffusionPipeline, steps: int, options: argparse.Namespace) -> Sampling:
    """Of a model and its name or folder."""
    scale = guidance_scale_of(model) if options.guidance is None else options.guidance
    return Sampling(SHIPPED.get(name, name), steps, scale, device=options.device)


def _chosen(ways: dict[str, ComparedWay], names: Sequence[str] | None) -> list[ComparedWay]:
    """Those of these names, and what they are held against; all when none is named.

    Raises:
        ValueError: there is no way of a name.
    """
    if unknown := sorted(set(names or ()) - set(ways)):
        raise ValueError(f"--ways: names among {', '.join(map(repr, ways))} were expected, not {', '.join(unknown)}.")
    return [way for name, way in ways.items() if names is None or name in (UNSTEERED, DEFAULT, *names)]


def _rows(model: str, measurement: Measurement[ComparedWay]) -> list[dict[str, Any]]:
    """A row for each way, times over those of the first, which is unsteered."""
    sampling = measurement.sampling
    settings = {"steps": sampling.steps, "guidance_scale": sampling.guidance_scale}
    rows = [
        {"model": model, "way": way.name, "meaning": way.meaning, **settings, "default": way.name == DEFAULT, **scores}
        for way, scores in zip(measurement.ways, measurement.scores())
    ]
    best = {point.name for point in front([_point(row) for row in rows])}
    return [{**row, "front": row["way"] in best} for row in rows]


def _point(row: dict[str, Any]) -> Point:
    interval = row["visor_uncond_interval"]
    return Point(row["way"], row["time_ratio"], row["visor_uncond"], interval, is_marked=row["default"])


def _title(rows: Sequence[dict[str, Any]]) -> str:
    first = rows[0]
    return f"{first['model']}, {first['steps']} steps, guidance scale {first['guidance_scale']:g}"


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: shares in percent with 95 % intervals in brackets."""
    head = ["way", "what it is", "images", *_COLUMNS.values(), "time", "on the front"]
    lines = []
    for row in rows:
        name = f"**{row['way']}**" if row["default"] else row["way"]
        cells = [name, row["meaning"], str(row["images"]), *(share_cell(row, column) for column in _COLUMNS)]
        lines.append([*cells, f"{row['time_ratio']:.2f} ×", "yes" if row["front"] else ""])
    return markdown_table(head, lines)


if __name__ == "__main__":
    main()
