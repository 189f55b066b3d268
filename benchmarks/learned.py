"""What the learned loss is worth on the miniature, beside the best centroid loss and together with it.

    python -m benchmarks.learned            all tables
    python -m benchmarks.learned --quick    a subset, in about a minute on 2 cores
    python -m benchmarks.learned --json     one object with all rows

The tables: one relation; the same by a classifier that was trained on true prompts alone (does
relation leakage spoil steering?); two and three relations, also by a classifier that has
seen more than two objects; objects that a classifier never saw. The two classifiers of the comparisons lie
beside this file, and their card says how they were trained.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.command import add_drawing_options, add_json_option, add_quick_option, drawing, refusing
from benchmarks.measuring import MEASURED_PROMPTS, Measurement, chains_suite, draw_all, pairs_suite
from benchmarks.tables import table
from benchmarks.ways import UNSTEERED, Way, centroid_way, learned_way, rows
from steering_core.classifier import CLASSIFIERS_DIR, MINIATURE_CLASSIFIER
from steering_core.cli.options import positive
from steering_core.evaluation.suites import ScenePrompt
from steering_core.miniature.world import OBJECTS
from steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from tools.command import command_line

_CLASSIFIERS = Path(__file__).parent / "classifiers"
_SEVERAL_OBJECTS = CLASSIFIERS_DIR / "miniature_several_objects.safetensors"
#: Objects that the classifier of the last table never saw.
HELD_OUT_OBJECTS = OBJECTS[:8]
_QUICK_PROMPTS = 2


def _ways(schedule: SteeringSchedule) -> tuple[Way, ...]:
    """Unsteered, and the three losses by a schedule, at the settings that served best on other prompts
    (``python -m benchmarks.tune``)."""
    return (
        UNSTEERED,
        centroid_way("gelu", schedule, "centroid"),
        learned_way("learned", schedule, MINIATURE_CLASSIFIER),
        learned_way("combined", schedule, MINIATURE_CLASSIFIER),
    )


#: Noise guidance is the best update for the centroid loss with one relation, latent descent with several; both were
#: measured with these step sizes.
_GUIDED, _DESCENDED = SteeringSchedule(GUIDANCE, step_size=0.5), SteeringSchedule(DESCENT, step_size=0.2)
_ONE_RELATION = (
    *_ways(_GUIDED),
    learned_way("learned", _GUIDED, _CLASSIFIERS / "true_prompts_only.safetensors", ", true prompts only"),
    learned_way("learned", _GUIDED, _CLASSIFIERS / "without_8_objects.safetensors", ", without 8 objects"),
)
_SEVERAL_RELATIONS = (
    *_ways(_DESCENDED),
    learned_way("learned", _DESCENDED, _SEVERAL_OBJECTS, ", several objects"),
    learned_way("combined", _DESCENDED, _SEVERAL_OBJECTS, ", several objects"),
)
#: Title and chains of objects of the tables with several relations.
_CHAINS = {
    "Three objects, two relations": (3,),
    "Four objects, three relations": (4,),
    "Five objects, three relations": (2, 3),
}
_COLUMNS = ("oa", "visor_cond", "visor_uncond", "visor_4", "gradient_passes", "time_ratio")


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--prompts",
        type=positive,
        default=MEASURED_PROMPTS,
        help="how many of one relation; a quarter as many of each kind with several (default: %(default)s)",
    )
    add_quick_option(parser, f"only {_QUICK_PROMPTS} prompts")
    add_json_option(parser)
    add_drawing_options(parser)
    options = parser.parse_args()
    count = _QUICK_PROMPTS if options.quick else options.prompts
    with drawing(options) as (out, pool):
        with refusing(parser):
            one = Measurement.of(out, pairs_suite(), range(count), _ONE_RELATION)
            several = {
                title: Measurement.of(out, chains_suite(chains), range(max(1, count // 4)), _SEVERAL_RELATIONS)
                for title, chains in _CHAINS.items()
            }
        draw_all([one, *several.values()], pool)
        tables = {**_of_one_relation(one), **{title: rows(measurement) for title, measurement in several.items()}}
    if options.json:
        print(json.dumps(tables))
        return
    for title, its_rows in tables.items():
        print(f"{title}\n\n{table(its_rows, _COLUMNS)}\n")


def _of_one_relation(measurement: Measurement[Way]) -> dict[str, list[dict[str, Any]]]:
    """Rows by title, of all prompts and of those parts that have any."""
    tables = {"One relation, pairs of objects never seen together": rows(measurement)}
    for title, belongs in _BY_OBJECTS.items():
        numbers = [at for at, prompt in zip(measurement.numbers, measurement.prompts) if belongs(prompt)]
        if numbers:
            tables[title] = rows(measurement, numbers)
    return tables


def _held_out(prompt: ScenePrompt) -> int:
    """How many of its objects the classifier of the last row never saw."""
    return len(set(prompt.objects) & set(HELD_OUT_OBJECTS))


#: Parts of the prompts of one relation, by their titles.
_BY_OBJECTS: dict[str, Callable[[ScenePrompt], bool]] = {
    f"Of these, both objects among the {len(HELD_OUT_OBJECTS)} left out": lambda prompt: _held_out(prompt) == 2,
    "Of these, neither object among those left out": lambda prompt: _held_out(prompt) == 0,
}


if __name__ == "__main__":
    main()
