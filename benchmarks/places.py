"""How often objects come to stand at their places in the picture, unsteered and steered, on a miniature.

python -m benchmarks.places
python -m benchmarks.places --model flux_miniature --prompts 40

Each prompt names two objects and a place for each, such as "a photo of a dog on the left and a cat in the upper right
corner". Every object is judged by itself, where the detector finds it, by ``Place.holds``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from benchmarks.measuring import PROMPT_SEED, UNSTEERED, Sampling, Way, detector, drawing_processes, pipeline
from benchmarks.ways import centroid_way
from steering_core.cli.options import positive
from steering_core.evaluation.suites import ScenePrompt
from steering_core.evaluation.visor import Trial, judge, share_interval
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.prompts import place_prompts
from steering_core.miniature.score import Tally, draw
from steering_core.relations import Place, Relation
from steering_core.schedule import GUIDANCE, SteeringSchedule

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
    parser.add_argument("--prompts", type=positive, default=20, help="how many, 72 at most (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print a list of rows in place of the table")
    parser.add_argument("--jobs", type=positive, help="processes (default: one a core)")
    options = parser.parse_args()
    try:
        prompts = place_prompts(options.prompts, PROMPT_SEED)
    except ValueError as error:
        parser.error(str(error))
    with drawing_processes(options.jobs) as pool:
        measure = partial(judged, ways=_WAYS, sampling=Sampling(SHIPPED[options.model]))
        of_ways = zip(*pool.map(measure, prompts))
        told = [row for way, of_prompts in zip(_WAYS, of_ways) for row in rows(way, list(of_prompts))]
    print(json.dumps(told) if options.json else table(told))


def judged(prompt: ScenePrompt, ways: Sequence[Way], sampling: Sampling) -> list[_Judged]:
    """A prompt drawn by each way, object by object."""
    told = []
    for way in ways:
        drawn = draw(
            pipeline(sampling.model),
            detector(),
            prompt,
            way.make_steering,
            Tally(),
            steps=sampling.steps,
            guidance_scale=sampling.guidance_scale,
        )
        found = detector().detect(drawn.pictures)
        told.append([(triplet[1], [judge([triplet], one) for one in found]) for triplet in prompt.relations])
    return told


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
