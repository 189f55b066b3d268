"""How often relations come true on a miniature: unsteered, and steered in all eight ways.

python -m benchmarks.steering                       all tables
python -m benchmarks.steering --quick               a subset, in under a minute on 2 cores
python -m benchmarks.steering --json                one object with all rows
python -m benchmarks.steering --functions gelu      by one loss function and both update rules
python -m benchmarks.steering --classifier FILE     also by the learned loss, alone and with the others
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command import (
    add_drawing_options,
    add_guidance_option,
    add_json_option,
    add_quick_option,
    drawing,
    refusing,
)
from benchmarks.measuring import MEASURED_PROMPTS, Measurement, Sampling, chains_suite, draw_all, pairs_suite
from benchmarks.tables import table
from benchmarks.ways import LEARNED_LOSSES, UNSTEERED, Way, centroid_way, check_ways, learned_way, rows
from steering_core.backends.diffusers import load_pipeline
from steering_core.cli.options import number, positive
from steering_core.evaluation.suites import Suite
from steering_core.losses.centroid import FUNCTIONS
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.score import STEPS
from steering_core.relations.relation import CARDINAL_RELATIONS, Relation
from steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from tools.command import command_line

_QUICK_PROMPTS = 2
_COLUMNS = ("oa", "visor_cond", "visor_uncond", "visor_1", "visor_2", "visor_3", "visor_4", "time_ratio")
#: Of the centroid loss, where fewer ways are measured.
_BEST_FUNCTION = "gelu"
#: Prompts of a table, how many of them, and its ways.
_Kind = tuple[Suite, int, tuple[Way, ...]]
#: Titles of the tables, by their keys in the JSON.
_TITLES = {
    "rows": "One relation, pairs of objects never seen together",
    "two_relations": "Two relations among three objects",
    "near": "Next to",
}


def main() -> None:
    """Measure and print."""
    parser = _parser()
    options = parser.parse_args()
    model = SHIPPED.get(options.model, options.model)
    schedules = (
        SteeringSchedule(GUIDANCE, step_size=options.guidance_step_size),
        SteeringSchedule(DESCENT, step_size=options.step_size),
    )
    learned = _learned_ways(options.classifier, schedules)
    kinds = _kinds(_QUICK_PROMPTS if options.quick else options.prompts, options.functions, learned, schedules)
    with drawing(options) as (out, pool):
        with refusing(parser):
            # Before the processes start, whose errors come as tracebacks.
            check_ways(learned, pairs_suite().prompts[0], load_pipeline(model, "cpu"))
            measurements = {
                (steps, key): Measurement.of(out, suite, range(count), ways, Sampling(model, steps, options.guidance))
                for steps in options.steps
                for key, (suite, count, ways) in kinds.items()
            }
        draw_all(measurements.values(), pool)
        tables = {
            (steps, key): [{"steps": steps, **row} for row in rows(measurement)]
            for (steps, key), measurement in measurements.items()
        }
    if options.json:
        print(json.dumps({key: [row for steps in options.steps for row in tables[steps, key]] for key in _TITLES}))
        return
    for (steps, key), table_rows in tables.items():
        print(f"{_TITLES[key]}, {steps} steps\n{table(table_rows, _COLUMNS)}\n")


def _parser() -> argparse.ArgumentParser:
    parser = command_line(__doc__)
    parser.add_argument(
        "--model",
        default="miniature",
        help="miniature or flux_miniature, which ship, or the folder of one of either shape (default: %(default)s)",
    )
    parser.add_argument(
        "--functions",
        choices=FUNCTIONS,
        nargs="+",
        default=FUNCTIONS,
        help="of the centroid loss, where there is one relation (default: all)",
    )
    parser.add_argument("--classifier", type=Path, metavar="FILE", help="that was trained on this model")
    parser.add_argument(
        "--steps",
        type=positive,
        nargs="+",
        default=[STEPS],
        metavar="N",
        help=f"of the sampling; for each number its own tables (default: {STEPS})",
    )
    add_guidance_option(parser)
    parser.add_argument(
        "--step-size", type=number(0, 100), metavar="SIZE", help="of latent descent (default: by strength)"
    )
    parser.add_argument("--guidance-step-size", type=number(0, 100), metavar="SIZE", help="of noise guidance, likewise")
    parser.add_argument(
        "--prompts",
        type=positive,
        default=MEASURED_PROMPTS,
        help="how many of one relation; half as many of two, a quarter as many of next to (default: %(default)s)",
    )
    add_quick_option(parser, f"only {_QUICK_PROMPTS} prompts")
    add_json_option(parser)
    add_drawing_options(parser)
    return parser


def _learned_ways(classifier: Path | None, schedules: Sequence[SteeringSchedule]) -> tuple[Way, ...]:
    """Those of a classifier; none without one."""
    if classifier is None:
        return ()
    return tuple(learned_way(name, schedule, classifier) for name in LEARNED_LOSSES for schedule in schedules)


def _centroid_ways(functions: Sequence[str], schedules: Sequence[SteeringSchedule]) -> tuple[Way, ...]:
    """Unsteered, and with these functions."""
    return (UNSTEERED, *(centroid_way(function, schedule) for schedule in schedules for function in functions))


def _kinds(
    count: int, functions: Sequence[str], learned: tuple[Way, ...], schedules: Sequence[SteeringSchedule]
) -> dict[str, _Kind]:
    """What each table is made of, by the keys of ``_TITLES``. The learned losses know nothing of "next to"."""
    best = _centroid_ways([_BEST_FUNCTION], schedules)
    near = max(1, count // len(CARDINAL_RELATIONS))  # as often as each of the other relations
    return {
        "rows": (pairs_suite(), count, (*_centroid_ways(functions, schedules), *learned)),
        "two_relations": (chains_suite((3,)), max(1, count // 2), (*best, *learned)),
        "near": (pairs_suite((Relation.NEAR,)), near, best),
    }


if __name__ == "__main__":
    main()
