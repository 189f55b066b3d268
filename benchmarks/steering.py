"""How often relations come true on the miniature: unsteered, and steered in all eight ways.

    python -m benchmarks.steering            the whole table
    python -m benchmarks.steering --quick    a subset, in under a minute on 2 cores
    python -m benchmarks.steering --json     one object with all rows

Every prompt is drawn by all arms before the next one, so that ``time_ratio`` (time of an arm over
the unsteered time) compares like with like.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from steering_core.backends.diffusers import load_pipeline
from steering_core.evaluation.visor import interval
from steering_core.losses import CentroidLoss
from steering_core.losses.centroid import FUNCTIONS
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.miniature.prompts import ScenePrompt, two_relation_prompts, unseen_pair_prompts
from steering_core.miniature.score import SEEDS, Arm, MakeSteering, compare, unsteered
from steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from steering_core.steering import Steering

MEASURED_PROMPTS, _QUICK_PROMPTS = 200, 2
_TWO_RELATION_PROMPTS, _QUICK_TWO_RELATION_PROMPTS = 100, 1
_SEED = 0
UNSTEERED = ("none", "none")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a subset of the prompts")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the tables")
    options = parser.parse_args()
    pipeline = load_pipeline(MINIATURE_DIR, "cpu")

    def rows(prompts: Sequence[ScenePrompt], ways: Sequence[tuple[str, str]], title: str) -> list[dict[str, Any]]:
        arms = {way: Arm(_make_steering(*way)) for way in ways}
        with tqdm(total=len(prompts), desc=title, unit="prompt", file=sys.stderr) as bar:
            compare(pipeline, prompts, list(arms.values()), on_prompt=lambda _: bar.update())
        return [as_row(loss, update, arm, arms[UNSTEERED]) for (loss, update), arm in arms.items()]

    steered = [(loss, update) for update in (GUIDANCE, DESCENT) for loss in FUNCTIONS]
    one = rows(
        unseen_pair_prompts(_QUICK_PROMPTS if options.quick else MEASURED_PROMPTS, _SEED),
        [UNSTEERED, *steered],
        "one relation",
    )
    two = rows(
        two_relation_prompts(_QUICK_TWO_RELATION_PROMPTS if options.quick else _TWO_RELATION_PROMPTS, _SEED),
        [UNSTEERED, ("gelu", GUIDANCE), ("gelu", DESCENT)],
        "two relations",
    )
    if options.json:
        print(json.dumps({"rows": one, "two_relations": two}))
        return
    print("One relation, pairs of objects never seen together")
    print(table(one))
    print("\nTwo relations among three objects")
    print(table(two))


def _make_steering(loss: str, update: str) -> MakeSteering:
    if (loss, update) == UNSTEERED:
        return unsteered
    return lambda scene: Steering(scene, CentroidLoss(loss), SteeringSchedule(update=update))


def as_row(loss: str, update: str, arm: Arm, baseline: Arm) -> dict[str, Any]:
    """The scores of an arm, as fractions."""
    scores = arm.scores
    present = round(scores.oa * scores.images)
    return {
        "loss": loss,
        "update": update,
        "images": scores.images,
        "oa": scores.oa,
        "oa_interval": interval(scores.oa, scores.images),
        "visor_cond": scores.visor_cond,
        "visor_cond_interval": interval(scores.visor_cond, present) if present else (0.0, 1.0),
        "visor_uncond": scores.visor_uncond,
        "visor_uncond_interval": interval(scores.visor_uncond, scores.images),
        **{f"visor_{n}": share for n, share in enumerate(scores.visor_n, 1)},
        "time_ratio": arm.seconds / baseline.seconds,
    }


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
        shares = [
            f"{row[key]:.1%} ({row[key + '_interval'][0]:.1%} to {row[key + '_interval'][1]:.1%})"
            for key in ("oa", "visor_cond", "visor_uncond")
        ]
        cells = [row["loss"], row["update"], str(row["images"]), *shares, *(f"{row[key]:.1%}" for key in several)]
        lines.append(" | ".join([*cells, f"{row['time_ratio']:.2f} ×"]))
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    main()
