"""Which settings serve a loss best, on prompts after the first 200, which the other benchmarks measure.

python -m benchmarks.tune --losses gelu "gelu + 0.3 learned" --step-sizes 0.1 0.2 0.4
"""

from __future__ import annotations

import argparse
import itertools
from functools import partial
from pathlib import Path

from benchmarks.measuring import MEASURED_PROMPTS, PROMPT_SEED, UNSTEERED, Way, drawing_processes, measured, rows, table
from benchmarks.named_losses import named_loss
from steering_core.classifier import MINIATURE_CLASSIFIER
from steering_core.cli.options import positive
from steering_core.miniature.prompts import ScenePrompt, chained_prompts, unseen_pair_prompts
from steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule

_COLUMNS = ("oa", "visor_cond", "visor_uncond", "visor_4", "gradient_passes", "time_ratio")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", nargs="+", default=["gelu"], help='such as gelu, learned, "gelu + 0.3 learned"')
    parser.add_argument("--update", choices=(DESCENT, GUIDANCE), default=DESCENT)
    parser.add_argument("--step-sizes", type=float, nargs="+", default=[None], help="(default: the update's)")
    parser.add_argument("--ends", type=float, nargs="+", default=[SteeringSchedule.end], help="ends of the window")
    parser.add_argument("--refinements", type=positive, nargs="+", default=[SteeringSchedule.refinements])
    parser.add_argument("--targets", type=float, nargs="+", default=[SteeringSchedule.target])
    parser.add_argument("--classifier", type=Path, default=MINIATURE_CLASSIFIER, help="of the learned loss")
    parser.add_argument("--jobs", type=positive, help="processes (default: one a core)")
    parser.add_argument("--prompts", type=positive, default=20)
    parser.add_argument(
        "--chains", type=positive, nargs="+", metavar="N", help="objects of each chain (default: pairs never seen)"
    )
    options = parser.parse_args()
    for loss in options.losses:
        try:
            named_loss(loss, options.classifier)
        except (ValueError, OSError) as error:
            parser.error(f"--losses {loss}: {error}")
    ways = [UNSTEERED]
    for loss, step_size, end, refinements, target in itertools.product(
        options.losses, options.step_sizes, options.ends, options.refinements, options.targets
    ):
        schedule = SteeringSchedule(
            update=options.update, step_size=step_size, end=end, refinements=refinements, target=target
        )
        name = f"{loss}, step size {schedule.step_size}, end {end}, refinements {refinements}, target {target}"
        ways.append(Way(name, partial(named_loss, loss, options.classifier), schedule))
    with drawing_processes(options.jobs) as pool:
        print(table(rows(ways, measured(_prompts(options), ways, pool)), _COLUMNS))


def _prompts(options: argparse.Namespace) -> list[ScenePrompt]:
    if options.chains:
        return chained_prompts(MEASURED_PROMPTS + options.prompts, options.chains, PROMPT_SEED)[MEASURED_PROMPTS:]
    return unseen_pair_prompts(MEASURED_PROMPTS + options.prompts, PROMPT_SEED)[MEASURED_PROMPTS:]


if __name__ == "__main__":
    main()
