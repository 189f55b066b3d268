"""What Steering Report's warnings are worth: how often they come where an object is missing, and where none is.

python -m benchmarks.warnings            the table, in a few minutes on one core
python -m benchmarks.warnings --quick    a subset, in a minute
python -m benchmarks.warnings --json     one object with all rows
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.measuring import PROMPT_SEED, detector, drawing_processes, pipeline
from steering_core.cli.options import positive
from steering_core.evaluation.suites import ScenePrompt
from steering_core.evaluation.visor import share_interval
from steering_core.losses import CentroidLoss
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.miniature.prompts import chained_prompts, unseen_pair_prompts
from steering_core.miniature.score import Tally, draw
from steering_core.steering import Steering

_PROMPTS, _QUICK_PROMPTS = 24, 2
#: Of the measures the area under the ROC curve is told: 0.5 is worth nothing, 1 everything.
_MEASURES = ("weakness", "spread", "overlap")


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        missing: whether an object of the prompt is missing in it.
        warned: whether the report warns.
        measures: each of the object that is worst by it.
    """

    missing: bool
    warned: bool
    measures: dict[str, float]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--prompts", type=positive, default=_PROMPTS, help="of two objects, and as many of three (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help=f"only {_QUICK_PROMPTS} of each")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the table")
    parser.add_argument("--jobs", type=positive, help="processes (default: one a core)")
    options = parser.parse_args()
    count = _QUICK_PROMPTS if options.quick else options.prompts
    prompts = {
        "two": unseen_pair_prompts(count, PROMPT_SEED),
        "three": chained_prompts(count, (3,), PROMPT_SEED),
    }
    with drawing_processes(options.jobs) as pool:
        pictures = {
            objects: list(tqdm(pool.map(_drawn, some), total=count, unit="prompt", file=sys.stderr))
            for objects, some in prompts.items()
        }
    pictures["all"] = [row for some in pictures.values() for row in some]
    rows = [rates_of(objects, some) for objects, some in pictures.items()]
    if options.json:
        print(json.dumps({"rows": rows}, allow_nan=False))
        return
    print(_table(rows))


def _drawn(prompt: ScenePrompt) -> list[Picture]:
    """One prompt at the defaults, four seeds."""
    tally, made = Tally(), []

    def steered(scene: Any) -> Steering:
        made.append(Steering(scene, CentroidLoss()))
        return made[-1]

    trials = draw(pipeline(MINIATURE_DIR), detector(), prompt, steered, tally).trials
    presence = made[-1].trace[-1].presence
    worst = {
        "weakness": -presence.strength.amin(dim=1),
        "spread": presence.spread.amax(dim=1),
        "overlap": presence.worst_overlap,
    }
    return [
        Picture(not trial.present, bool(weak), {name: float(values[image]) for name, values in worst.items()})
        for image, (trial, weak) in enumerate(zip(trials, presence.weak))
    ]


def rates_of(objects: str, prompts: Sequence[Sequence[Picture]]) -> dict[str, Any]:
    """Rates with their 95 % intervals, and each measure's area under the ROC curve; none where they have no meaning."""
    pictures = [picture for of_prompt in prompts for picture in of_prompt]
    rates: dict[str, Any] = {}
    for name, missing in (("hits", True), ("false_alarms", False)):
        of = [[picture for picture in of_prompt if picture.missing == missing] for of_prompt in prompts]
        warned = [sum(picture.warned for picture in of_prompt) for of_prompt in of]
        counts = [len(of_prompt) for of_prompt in of]
        rates[name] = sum(warned) / sum(counts) if sum(counts) else None
        rates[f"{name}_interval"] = share_interval(warned, counts)
    areas = {f"auc_{name}": _area(pictures, name) for name in _MEASURES}
    return {
        "objects": objects,
        "images": len(pictures),
        "missing": sum(picture.missing for picture in pictures),
        **rates,
        **areas,
    }


def _area(pictures: Sequence[Picture], name: str) -> float | None:
    """How often a picture with a missing object has the larger measure than one without; ties count half."""
    with_missing, without = (
        torch.tensor([picture.measures[name] for picture in pictures if picture.missing == missing])
        for missing in (True, False)
    )
    if not (len(with_missing) and len(without)):
        return None
    difference = with_missing[:, None] - without
    return float(((difference.sign() + 1) / 2).mean())


def _table(rows: Sequence[dict[str, Any]]) -> str:
    head = ["objects", "images", "object missing", "warned of these", "warned of the others"]
    head += [f"AUC of {name}" for name in _MEASURES]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for row in rows:
        cells = [row["objects"], str(row["images"]), str(row["missing"])]
        cells += [_share(row[name], row[f"{name}_interval"]) for name in ("hits", "false_alarms")]
        cells += ["none" if row[f"auc_{name}"] is None else f"{row[f'auc_{name}']:.2f}" for name in _MEASURES]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def _share(share: float | None, interval: tuple[float, float]) -> str:
    return "none" if share is None else f"{share:.0%} ({interval[0]:.0%} to {interval[1]:.0%})"


if __name__ == "__main__":
    main()
