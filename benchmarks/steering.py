"""How often relations come true on the miniature: unsteered, and steered in all eight ways.

    python -m benchmarks.steering            the whole table
    python -m benchmarks.steering --quick    a subset, in under a minute on 2 cores
    python -m benchmarks.steering --json     one object with all rows

Every prompt is drawn in all ways, one after the other and with one thread, so that ``time_ratio``
(time of a way over the unsteered time) compares like with like.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from tqdm import tqdm

from steering_core.backends.diffusers import generate, load_pipeline
from steering_core.evaluation.visor import Trial, interval, share_interval
from steering_core.losses import CentroidLoss
from steering_core.losses.centroid import FUNCTIONS
from steering_core.miniature.detector import GlyphDetector
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.miniature.prompts import ScenePrompt, two_relation_prompts, unseen_pair_prompts
from steering_core.miniature.score import GUIDANCE_SCALE, SEEDS, Arm, MakeSteering, draw, unsteered
from steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from steering_core.steering import Steering

#: Prompts of the whole table; half as many with two relations.
MEASURED_PROMPTS = 200
_QUICK_PROMPTS = 2
_SEED = 0
#: (loss, update) of the arm that all others are held against.
UNSTEERED = ("none", "none")
_STEERED = tuple((loss, update) for update in (GUIDANCE, DESCENT) for loss in FUNCTIONS)
_TWO_RELATIONS_STEERED = (("gelu", GUIDANCE), ("gelu", DESCENT))

Way = tuple[str, str]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=MEASURED_PROMPTS, help="how many (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"only {_QUICK_PROMPTS} prompts")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the tables")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    options = parser.parse_args()
    count = _QUICK_PROMPTS if options.quick else options.prompts
    with ProcessPoolExecutor(
        options.jobs, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        one = _rows(unseen_pair_prompts(count, _SEED), _STEERED, pool)
        two = _rows(two_relation_prompts(max(1, count // 2), _SEED), _TWO_RELATIONS_STEERED, pool)
    if options.json:
        print(json.dumps({"rows": one, "two_relations": two}))
        return
    print("One relation, pairs of objects never seen together")
    print(table(one))
    print("\nTwo relations among three objects")
    print(table(two))


def _rows(prompts: Sequence[ScenePrompt], steered: Sequence[Way], pool: Executor) -> list[dict[str, Any]]:
    """The unsteered row and a row for each way of steering, the prompts shared among processes."""
    ways = [UNSTEERED, *steered]
    arms = {way: Arm(_make_steering(*way)) for way in ways}
    with tqdm(total=len(prompts), unit="prompt", file=sys.stderr) as bar:
        for measured in pool.map(_measure, prompts, itertools.repeat(ways)):
            for way, (trials, seconds) in measured.items():
                arms[way].trials.append(trials)
                arms[way].seconds += seconds
            bar.update()
    return [as_row(*way, arm, arms[UNSTEERED]) for way, arm in arms.items()]


def _measure(prompt: ScenePrompt, ways: Sequence[Way]) -> dict[Way, tuple[list[Trial], float]]:
    """Trials and seconds of one prompt, by each way, one after the other."""
    arms = {way: Arm(_make_steering(*way)) for way in ways}
    for arm in arms.values():
        draw(_pipeline(), _detector(), prompt, arm)
    return {way: (arm.trials[0], arm.seconds) for way, arm in arms.items()}


@cache
def _pipeline() -> StableDiffusionPipeline:
    pipeline = load_pipeline(MINIATURE_DIR, "cpu")
    # The first call is slower than all others: it would count for the first way that is measured.
    generate(pipeline, "", SEEDS, None, steps=2, guidance_scale=GUIDANCE_SCALE)
    return pipeline


@cache
def _detector() -> GlyphDetector:
    return GlyphDetector()


def _make_steering(loss: str, update: str) -> MakeSteering:
    if (loss, update) == UNSTEERED:
        return unsteered
    return lambda scene: Steering(scene, CentroidLoss(loss), SteeringSchedule(update=update))


def as_row(loss: str, update: str, arm: Arm, baseline: Arm) -> dict[str, Any]:
    """The scores of an arm, as fractions; ``visor_cond`` is none where no picture shows both objects."""
    scores = arm.scores
    images = [len(row) for row in arm.trials]
    present = [sum(trial.present for trial in row) for row in arm.trials]
    correct = [sum(trial.correct for trial in row) for row in arm.trials]
    row = {
        "loss": loss,
        "update": update,
        "images": scores.images,
        "oa": scores.oa,
        "oa_interval": share_interval(present, images),
        "visor_cond": scores.visor_cond if any(present) else None,
        "visor_cond_interval": share_interval(correct, present),
        "visor_uncond": scores.visor_uncond,
        "visor_uncond_interval": share_interval(correct, images),
        "time_ratio": arm.seconds / baseline.seconds,
    }
    for n, share in enumerate(scores.visor_n, 1):
        row |= {f"visor_{n}": share, f"visor_{n}_interval": interval(share, len(arm.trials))}
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown, in percent, with 95 % intervals in brackets."""
    several = [f"visor_{n}" for n in range(1, len(SEEDS) + 1)]
    head = [
        "loss",
        "update",
        "images",
        "OA",
        "VISOR-cond",
        "VISOR-uncond",
        *(f"VISOR-{n[-1]}" for n in several),
        "time",
    ]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for row in rows:
        shares = [_share(row[key], *row[f"{key}_interval"]) for key in ("oa", "visor_cond", "visor_uncond", *several)]
        lines.append(
            " | ".join([row["loss"], row["update"], str(row["images"]), *shares, f"{row['time_ratio']:.2f} ×"])
        )
    return "\n".join(f"| {line} |" for line in lines)


def _share(share: float | None, low: float, high: float) -> str:
    """Such as "71.5% (68% to 75%)"."""
    return "none" if share is None else f"{share:.1%} ({low:.0%} to {high:.0%})"


if __name__ == "__main__":
    main()
