"""Which step size serves each update rule best, on prompts that ``benchmarks.steering`` leaves out.

python -m benchmarks.tune --update descent --functions relu gelu --step-sizes 0.1 0.2 0.4
"""

from __future__ import annotations

import argparse
import itertools
import sys

from tqdm import tqdm

from benchmarks.steering import MEASURED_PROMPTS, UNSTEERED, as_row, table
from steering_core.backends.diffusers import load_pipeline
from steering_core.losses import CentroidLoss
from steering_core.losses.centroid import FUNCTIONS
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.miniature.prompts import unseen_pair_prompts
from steering_core.miniature.score import Arm, MakeSteering, compare, unsteered
from steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from steering_core.steering import Steering


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", choices=(DESCENT, GUIDANCE), default=DESCENT)
    parser.add_argument("--functions", choices=FUNCTIONS, nargs="+", default=["gelu"])
    parser.add_argument("--step-sizes", type=float, nargs="+", default=[0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--ends", type=float, nargs="+", default=[SteeringSchedule.end], help="ends of the window")
    parser.add_argument("--presence-weights", type=float, nargs="+", default=[0.0])
    parser.add_argument("--balance-weights", type=float, nargs="+", default=[0.0])
    parser.add_argument("--refinements", type=int, nargs="+", default=[SteeringSchedule.refinements])
    parser.add_argument("--prompts", type=int, default=20)
    options = parser.parse_args()
    prompts = unseen_pair_prompts(MEASURED_PROMPTS + options.prompts, seed=0)[MEASURED_PROMPTS:]
    arms = {UNSTEERED: Arm(unsteered)}
    grid = itertools.product(
        options.functions,
        options.step_sizes,
        options.ends,
        options.presence_weights,
        options.balance_weights,
        options.refinements,
    )
    for function, step_size, end, presence, balance, refinements in grid:
        loss = CentroidLoss(function, presence_weight=presence, balance_weight=balance)
        schedule = SteeringSchedule(update=options.update, end=end, step_size=step_size, refinements=refinements)
        way = (
            f"{function}, presence {presence}, balance {balance}",
            f"{options.update}, step size {step_size}, end {end}, refinements {refinements}",
        )
        arms[way] = Arm(_steering(loss, schedule))
    pipeline = load_pipeline(MINIATURE_DIR, "cpu")
    with tqdm(total=len(prompts), unit="prompt", file=sys.stderr) as bar:
        compare(pipeline, prompts, list(arms.values()), on_prompt=lambda _: bar.update())
    print(table([as_row(*way, arm, arms[UNSTEERED]) for way, arm in arms.items()]))


def _steering(loss: CentroidLoss, schedule: SteeringSchedule) -> MakeSteering:
    return lambda scene: Steering(scene, loss, schedule)


if __name__ == "__main__":
    main()
