"""How often objects come to stand at their places in the picture, unsteered and steered, on a miniature.

python -m benchmarks.places
python -m benchmarks.places --model flux_miniature --prompts 40
python -m benchmarks.places --keep DIR       pictures and what was found stay in DIR, and a stopped run goes on

Each prompt names two objects and a place for each, such as "a photo of a dog on the left and a cat in the upper right
corner". Every object is judged by itself, where the detector finds it, by ``Place.holds``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.command import add_drawing_options, add_json_option, drawing, refusing
from benchmarks.measuring import PROMPT_SEED, Measurement, Sampling, draw_all, estimate_as_row
from benchmarks.tables import share_cell
from benchmarks.ways import UNSTEERED, Way, centroid_way
from steering_core.cli.options import whole
from steering_core.evaluation.statistics import share
from steering_core.evaluation.suites import Suite
from steering_core.evaluation.tables import markdown_table
from steering_core.evaluation.visor import Trial, judge
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.prompts import place_prompts
from steering_core.miniature.score import SEEDS
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation
from steering_core.schedule import GUIDANCE, SteeringSchedule
from tools.command import command_line

#: All prompts that there are.
_PROMPTS = 72
#: At the defaults of the loss and of both update rules.
_WAYS = (UNSTEERED, centroid_way("gelu", SteeringSchedule()), centroid_way("gelu", SteeringSchedule(GUIDANCE)))
_KINDS = {
    "all": tuple(Place),
    "sides": (Place.AT_LEFT, Place.AT_RIGHT, Place.AT_TOP, Place.AT_BOTTOM),
    "corners": (Place.AT_TOP_LEFT, Place.AT_TOP_RIGHT, Place.AT_BOTTOM_LEFT, Place.AT_BOTTOM_RIGHT),
    "center": (Place.AT_CENTER,),
}
#: For each object of a prompt its place, and the verdicts on it in each picture.
_Judged = list[tuple[Relation | Place, list[Trial]]]


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--model", choices=sorted(SHIPPED), default="miniature", help="which miniature (default: %(default)s)"
    )
    parser.add_argument("--prompts", type=whole(1, _PROMPTS), default=20, help="how many (default: %(default)s)")
    add_json_option(parser, "print a list of rows in place of the table")
    add_drawing_options(parser)
    options = parser.parse_args()
    suite = Suite("places", tuple(place_prompts(_PROMPTS, PROMPT_SEED)), SEEDS)
    with drawing(options) as (out, pool):
        with refusing(parser):
            measurement = Measurement.of(out, suite, range(options.prompts), _WAYS, Sampling(SHIPPED[options.model]))
        draw_all([measurement], pool)
        table_rows = [row for way in _WAYS for row in rows(way, _judged(measurement, way))]
    print(json.dumps(table_rows) if options.json else table(table_rows))


def _judged(measurement: Measurement[Way], way: Way) -> Iterable[_Judged]:
    """Each prompt's pictures by a way, object by object."""
    for number, prompt in zip(measurement.numbers, measurement.prompts):
        _, found = measurement.folder.found(way.name, number)
        yield [(triplet[1], [judge([triplet], one) for one in found]) for triplet in prompt.relations]


def rows(way: Way, of_prompts: Iterable[_Judged]) -> list[dict[str, Any]]:
    """A row for each kind of places; shares in [0, 1] with 95 % intervals, none of what was never found."""
    table_rows, judged = [], list(of_prompts)
    for kind, places in _KINDS.items():
        trials = [[trial for place, of_one in objects if place in places for trial in of_one] for objects in judged]
        asked = [len(of_prompt) for of_prompt in trials]
        found = [sum(trial.present for trial in of_prompt) for of_prompt in trials]
        placed = [sum(trial.correct for trial in of_prompt) for of_prompt in trials]
        table_rows.append(
            {
                "loss": way.loss,
                "update": way.update,
                "places": kind,
                "objects": sum(asked),
                "found": sum(found) / sum(asked) if any(asked) else None,
                **estimate_as_row("placed", share(placed, found)),
            }
        )
    return table_rows


def table(table_rows: Sequence[dict[str, Any]]) -> str:
    """Markdown, of ``rows``."""
    lines = []
    for row in table_rows:
        found = "none" if row["found"] is None else f"{row['found']:.1%}"
        named = [row["loss"], row["update"], row["places"], str(row["objects"])]
        lines.append([*named, found, share_cell(row, "placed")])
    return markdown_table(["loss", "update", "places", "objects", "found", "at their place, of those found"], lines)


if __name__ == "__main__":
    main()
