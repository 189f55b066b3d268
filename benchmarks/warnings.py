"""What Steering Report's warnings are worth: how often they come where an object is missing, and where none is.

python -m benchmarks.warnings            the table, in a few minutes on one core
python -m benchmarks.warnings --quick    a subset, in a minute
python -m benchmarks.warnings --json     one object with all rows

Beside the pictures and what the detector finds in them it keeps what steering saw of each at its last look.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.command import add_drawing_options, add_json_option, add_quick_option, drawing, refusing
from benchmarks.measuring import Measurement, Sampling, chains_suite, draw_all, estimate_as_row, pairs_suite
from benchmarks.tables import share_cell
from steering_core.backends.diffusers import generate, ground_prompt
from steering_core.backends.diffusers.arms import drawn_with, steered_arm
from steering_core.cli.options import positive
from steering_core.evaluation.arms import Arm, Drawn
from steering_core.evaluation.results import verdicts
from steering_core.evaluation.rules import RULES, VISOR
from steering_core.evaluation.statistics import share
from steering_core.evaluation.suites import ScenePrompt
from steering_core.evaluation.tables import markdown_table
from steering_core.files.described import described, read_json
from steering_core.files.whole import save_text
from steering_core.losses import CentroidLoss
from steering_core.report.trace import TraceEntry
from steering_core.schedule import SteeringSchedule
from steering_core.steering import Steering
from tools.command import command_line

_PROMPTS, _QUICK_PROMPTS = 24, 2
#: Of the measures the area under the ROC curve is told: 0.5 is worth nothing, 1 everything.
_MEASURES = ("weakness", "spread", "overlap")


@dataclass(frozen=True)
class LastLook:
    """What steering saw of a picture when it last looked.

    Attributes:
        warned: whether the report warns.
        measures: each of the object that is worst by it.
    """

    warned: bool
    measures: dict[str, float]


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        missing: whether an object of the prompt is missing in it.
        seen: by steering.
    """

    missing: bool
    seen: LastLook


@dataclass(frozen=True)
class WatchedWay:
    """Ours at its defaults, whose last looks are kept.

    Attributes:
        looks: folder that they are kept in.
    """

    looks: Path
    name: str = "default"

    def arm(self, sampling: Sampling) -> Arm:
        """See ``MeasuredWay``."""
        model, settings = sampling.pipeline, sampling.settings
        loss, schedule = CentroidLoss(), SteeringSchedule()

        def draw(prompt: ScenePrompt, seeds: Sequence[int]) -> Drawn:
            steering = Steering(ground_prompt(model, prompt.text), loss, schedule)
            drawn = drawn_with(steering, generate(model, prompt.text, seeds, steering, **settings))
            self.looks.mkdir(parents=True, exist_ok=True)
            for seed, seen in zip(seeds, _last_looks(steering.trace[-1])):
                save_text(json.dumps(asdict(seen), allow_nan=False), self._file(prompt, seed))
            return drawn

        return replace(steered_arm(self.name, model, settings, loss, schedule), draw=draw)

    def seen(self, prompt: ScenePrompt, seed: int) -> LastLook:
        """Of a picture that was drawn.

        Raises:
            ValueError: the file is damaged.
            OSError: it cannot be read.
        """
        file = self._file(prompt, seed)
        return described(LastLook, read_json(file), str(file))

    def _file(self, prompt: ScenePrompt, seed: int) -> Path:
        return self.looks / f"{prompt.text}_{seed}.json"


def _last_looks(entry: TraceEntry) -> list[LastLook]:
    """Of each picture of a batch."""
    presence = entry.presence
    worst = {
        "weakness": -presence.strength.amin(dim=1),
        "spread": presence.spread.amax(dim=1),
        "overlap": presence.worst_overlap,
    }
    return [
        LastLook(bool(weak), {name: float(values[image]) for name, values in worst.items()})
        for image, weak in enumerate(presence.weak)
    ]


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--prompts", type=positive, default=_PROMPTS, help="of two objects, and as many of three (default: %(default)s)"
    )
    add_quick_option(parser, f"only {_QUICK_PROMPTS} of each")
    add_json_option(parser, "print one JSON object in place of the table")
    add_drawing_options(parser)
    options = parser.parse_args()
    count = _QUICK_PROMPTS if options.quick else options.prompts
    suites = {"two": pairs_suite(), "three": chains_suite((3,))}
    with drawing(options) as (out, pool):
        with refusing(parser):
            ways = [WatchedWay(out / "looks")]
            measurements = {
                objects: Measurement.of(out, suite, range(count), ways) for objects, suite in suites.items()
            }
        draw_all(measurements.values(), pool)
        pictures = {objects: list(_pictures(measurement)) for objects, measurement in measurements.items()}
    pictures["all"] = [row for some in pictures.values() for row in some]
    rows = [rates_of(objects, some) for objects, some in pictures.items()]
    if options.json:
        print(json.dumps({"rows": rows}, allow_nan=False))
        return
    print(_table(rows))


def _pictures(measurement: Measurement[WatchedWay]) -> Iterable[list[Picture]]:
    """Of each prompt."""
    (way,), folder = measurement.ways, measurement.folder
    for number, prompt in zip(measurement.numbers, measurement.prompts):
        judged = verdicts(folder, way.name, number, RULES[VISOR])
        yield [
            Picture(not verdict.trial.present, way.seen(prompt, seed))
            for seed, verdict in zip(folder.suite.seeds, judged)
        ]


def rates_of(objects: str, prompts: Sequence[Sequence[Picture]]) -> dict[str, Any]:
    """Rates with their 95 % intervals, and each measure's area under the ROC curve; none where they have no meaning."""
    pictures = [picture for of_prompt in prompts for picture in of_prompt]
    rates: dict[str, Any] = {}
    for name, missing in (("hits", True), ("false_alarms", False)):
        of = [[picture for picture in of_prompt if picture.missing == missing] for of_prompt in prompts]
        warned = [sum(picture.seen.warned for picture in of_prompt) for of_prompt in of]
        rates |= estimate_as_row(name, share(warned, [len(of_prompt) for of_prompt in of]))
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
        torch.tensor([picture.seen.measures[name] for picture in pictures if picture.missing == missing])
        for missing in (True, False)
    )
    if not (len(with_missing) and len(without)):
        return None
    difference = with_missing[:, None] - without
    return float(((difference.sign() + 1) / 2).mean())


def _table(rows: Sequence[dict[str, Any]]) -> str:
    head = ["objects", "images", "object missing", "warned of these", "warned of the others"]
    head += [f"AUC of {name}" for name in _MEASURES]
    lines = []
    for row in rows:
        cells = [row["objects"], str(row["images"]), str(row["missing"])]
        cells += [share_cell(row, name) for name in ("hits", "false_alarms")]
        cells += ["none" if row[f"auc_{name}"] is None else f"{row[f'auc_{name}']:.2f}" for name in _MEASURES]
        lines.append(cells)
    return markdown_table(head, lines)


if __name__ == "__main__":
    main()
