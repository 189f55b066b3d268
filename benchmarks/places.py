"""How often objects come to stand at their places in the picture, unsteered and steered, on a miniature.

python -m benchmarks.places
python -m benchmarks.places --model flux_miniature --prompts 40
python -m benchmarks.places --keep DIR       pictures and what was found stay in DIR, and a stopped run goes on

Each prompt names two objects and a place for each, such as "a photo of a dog on the left and a cat in the upper right
corner". Every object is judged by itself, where the detector finds it, by ``Place.holds``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measuring import PROMPT_SEED, UNSTEERED, Way, drawing_processes, pipeline
from benchmarks.ways import arm_name, arm_of, centroid_way, draw_and_look, miniature_settings
from steering_core.backends.diffusers.arms import sampling_of
from steering_core.cli.options import positive, whole
from steering_core.evaluation.runs import Arm, EvaluationFolder
from steering_core.evaluation.suites import Suite
from steering_core.evaluation.visor import Trial, judge, share_interval
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.look import MiniatureDetector
from steering_core.miniature.prompts import place_prompts
from steering_core.miniature.score import SEEDS
from steering_core.relations import Place, Relation
from steering_core.schedule import GUIDANCE, SteeringSchedule

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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", choices=sorted(SHIPPED), default="miniature", help="which miniature (default: %(default)s)"
    )
    parser.add_argument("--prompts", type=whole(1, _PROMPTS), default=20, help="how many (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print a list of rows in place of the table")
    parser.add_argument("--jobs", type=positive, help="processes (default: one a core)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder that pictures are kept in (default: none)")
    options = parser.parse_args()
    with ExitStack() as stack:
        out = options.keep or Path(stack.enter_context(TemporaryDirectory()))
        try:
            folder, _ = _opened(out, options.model)
        except (ValueError, OSError) as error:
            parser.error(str(error))
        numbers = range(options.prompts)
        pool = stack.enter_context(drawing_processes(options.jobs))
        for _ in pool.map(partial(_drawn, out, options.model), numbers):
            pass
        told = [row for way in _WAYS for row in rows(way, [_judged(folder, way, number) for number in numbers])]
    print(json.dumps(told) if options.json else table(told))


def _opened(out: Path, model: str) -> tuple[EvaluationFolder, list[Arm]]:
    """The evaluation of all prompts on a miniature, and its arms, claimed.

    Raises:
        ValueError, OSError: as ``EvaluationFolder``.
    """
    drawing = pipeline(SHIPPED[model])
    settings = miniature_settings(drawing)
    suite = Suite("places", tuple(place_prompts(_PROMPTS, PROMPT_SEED)), SEEDS)
    folder = EvaluationFolder(out, suite, sampling_of(drawing, settings))
    arms = [arm_of(way, drawing, settings) for way in _WAYS]
    for arm in arms:
        folder.claim(arm, MiniatureDetector())
    return folder, arms


def _drawn(out: Path, model: str, number: int) -> None:
    """A prompt, drawn by each way and looked at."""
    folder, arms = _opened(out, model)
    for arm in arms:
        draw_and_look(folder, arm, number)


def _judged(folder: EvaluationFolder, way: Way, number: int) -> _Judged:
    """A prompt's pictures by a way, object by object."""
    _, found = folder.found(arm_name(way), number)
    return [
        (triplet[1], [judge([triplet], one) for one in found]) for triplet in folder.suite.prompts[number].relations
    ]


def rows(way: Way, of_prompts: Iterable[_Judged]) -> list[dict[str, Any]]:
    """A row for each kind of places; shares in [0, 1] with 95 % intervals, none of what was never found."""
    told = []
    for kind, places in _KINDS.items():
        trials = [[trial for place, of_one in objects if place in places for trial in of_one] for objects in of_prompts]
        asked = [len(of_prompt) for of_prompt in trials]
        found = [sum(trial.present for trial in of_prompt) for of_prompt in trials]
        placed = [sum(trial.correct for trial in of_prompt) for of_prompt in trials]
        told.append(
            {
                "loss": way.loss,
                "update": way.update,
                "places": kind,
                "objects": sum(asked),
                "found": sum(found) / sum(asked) if any(asked) else None,
                "placed": sum(placed) / sum(found) if any(found) else None,
                "placed_interval": share_interval(placed, found),
            }
        )
    return told


def table(told: Sequence[dict[str, Any]]) -> str:
    """Markdown, of ``rows``."""
    lines = ["loss | update | places | objects | found | at their place, of those found"]
    lines.append(" | ".join(["---"] * (lines[0].count("|") + 1)))
    for row in told:
        found, placed = ("none" if row[key] is None else f"{row[key]:.1%}" for key in ("found", "placed"))
        low, high = row["placed_interval"]
        named = [row["loss"], row["update"], row["places"], str(row["objects"]), found]
        lines.append(" | ".join([*named, f"{placed} ({low:.0%} to {high:.0%})"]))
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    main()
