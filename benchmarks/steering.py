"""How often relations come true on the miniature: unsteered, and steered in all eight ways.

python -m benchmarks.steering            the whole table
python -m benchmarks.steering --quick    a subset, in under a minute on 2 cores
python -m benchmarks.steering --json     one object with all rows
"""

from __future__ import annotations

import argparse
import json
from functools import partial

from benchmarks.measuring import MEASURED_PROMPTS, PROMPT_SEED, UNSTEERED, Way, drawing_processes, measured, rows, table
from steering_core.cli.options import positive
from steering_core.losses import CentroidLoss
from steering_core.losses.centroid import FUNCTIONS
from steering_core.miniature.prompts import chained_prompts, unseen_pair_prompts
from steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule

_QUICK_PROMPTS = 2
_COLUMNS = ("oa", "visor_cond", "visor_uncond", "visor_1", "visor_2", "visor_3", "visor_4", "time_ratio")


def centroid_way(function: str, update: str) -> Way:
    """Steering with a centroid loss at its defaults."""
    return Way(function, partial(CentroidLoss, function), SteeringSchedule(update=update))


_WAYS = (UNSTEERED, *(centroid_way(function, update) for update in (GUIDANCE, DESCENT) for function in FUNCTIONS))
_TWO_RELATIONS_WAYS = (UNSTEERED, centroid_way("gelu", GUIDANCE), centroid_way("gelu", DESCENT))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=positive, default=MEASURED_PROMPTS, help="how many (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"only {_QUICK_PROMPTS} prompts")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the tables")
    parser.add_argument("--jobs", type=positive, help="processes (default: one a core)")
    options = parser.parse_args()
    count = _QUICK_PROMPTS if options.quick else options.prompts
    with drawing_processes(options.jobs) as pool:
        one = rows(_WAYS, measured(unseen_pair_prompts(count, PROMPT_SEED), _WAYS, pool))
        prompts = chained_prompts(max(1, count // 2), (3,), PROMPT_SEED)
        two = rows(_TWO_RELATIONS_WAYS, measured(prompts, _TWO_RELATIONS_WAYS, pool))
    if options.json:
        print(json.dumps({"rows": one, "two_relations": two}))
        return
    print("One relation, pairs of objects never seen together")
    print(table(one, _COLUMNS))
    print("\nTwo relations among three objects")
    print(table(two, _COLUMNS))


if __name__ == "__main__":
    main()
