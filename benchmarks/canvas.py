"""What a layout on the canvas should ask: places, relations, or both, on a miniature.

python -m benchmarks.canvas
python -m benchmarks.canvas --model flux_miniature --prompts 16

Each prompt names two objects and says nothing of where they are, "a photo of a dog and a cat"; each object is given a
place in the picture, as by dragging it there. Steering is asked for the two places, for the relation in which they
then lie to each other, or for both, as the canvas does where the prompt relates the two. What was wanted is judged
alike: each object at its place, and the relation.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from benchmarks.measuring import PROMPT_SEED, UNSTEERED, Sampling, Way, detector, drawing_processes, pipeline
from benchmarks.ways import centroid_way
from steering_core.cli.options import positive
from steering_core.evaluation.suites import ScenePrompt
from steering_core.evaluation.suites.suite import Triplet
from steering_core.evaluation.visor import Trial, judge, share_interval
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.prompts import place_prompts
from steering_core.miniature.score import Tally, draw
from steering_core.relations import Place, Relation
from steering_core.schedule import SteeringSchedule

_STEERED = centroid_way("gelu", SteeringSchedule())
_DIRECTED = [relation for relation in Relation if any(relation.direction)]
_KINDS = ("unsteered", "places", "relation", "both")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", choices=sorted(SHIPPED), default="miniature", help="which miniature (default: %(default)s)"
    )
    parser.add_argument("--prompts", type=positive, default=16, help="how many, 72 at most (default: %(default)s)")
    parser.add_argument("--jobs", type=positive, help="processes (default: one a core)")
    options = parser.parse_args()
    prompts = place_prompts(options.prompts, PROMPT_SEED)
    with drawing_processes(options.jobs) as pool:
        told = list(pool.map(partial(judged, sampling=Sampling(SHIPPED[options.model])), prompts))
    print(table(told))


def asked(prompt: ScenePrompt) -> dict[str, ScenePrompt]:
    """By what is asked for: the prompt that says nothing of places, and what steering makes of it."""
    (one, place, _), (other, elsewhere, _) = prompt.relations
    relation = relation_between(place, elsewhere)
    wording = f"a photo of a {one} and a {other}"
    both = (*prompt.relations, (one, relation, other))
    wanted = {"unsteered": both, "places": prompt.relations, "relation": both[2:], "both": both}
    return {kind: replace(prompt, relations=relations, wording=wording) for kind, relations in wanted.items()}


def relation_between(place: Relation | Place, other: Relation | Place) -> Relation:
    """In which of the eight directions an object at one place lies from one at another."""
    (x, y), (to_x, to_y) = place.direction, other.direction

    def likeness(relation: Relation) -> float:
        dx, dy = relation.direction
        return (dx * (x - to_x) + dy * (y - to_y)) / math.hypot(dx, dy)

    return max(_DIRECTED, key=likeness)


def judged(prompt: ScenePrompt, sampling: Sampling) -> dict[str, list[list[Trial]]]:
    """By what is asked for: in each picture the verdicts on both places and on the relation."""
    kinds = asked(prompt)
    wanted: Sequence[Triplet] = kinds["both"].relations
    told = {}
    for kind, of_kind in kinds.items():
        way: Way = UNSTEERED if kind == "unsteered" else _STEERED
        drawn = draw(
            pipeline(sampling.model),
            detector(),
            of_kind,
            way.make_steering,
            Tally(),
            steps=sampling.steps,
            guidance_scale=sampling.guidance_scale,
        )
        found = detector().detect(drawn.pictures)
        told[kind] = [[judge([triplet], picture) for triplet in wanted] for picture in found]
    return told


def table(told: Sequence[dict[str, list[list[Trial]]]]) -> str:
    """Markdown: a row for each thing that is asked for, shares of all pictures with 95 % intervals."""
    lines = ["asked for | pictures | both found | both at their places | the relation | all of it"]
    lines.append(" | ".join(["---"] * (lines[0].count("|") + 1)))
    for kind in _KINDS:
        of_prompts = [of_prompt[kind] for of_prompt in told]
        drawn = [len(pictures) for pictures in of_prompts]
        shares = [
            [sum(is_so(*picture) for picture in pictures) for pictures in of_prompts]
            for is_so in (
                lambda one, other, both: both.present,
                lambda one, other, both: one.correct and other.correct,
                lambda one, other, both: both.correct,
                lambda one, other, both: one.correct and other.correct and both.correct,
            )
        ]
        cells = []
        for right in shares:
            low, high = share_interval(right, drawn)
            cells.append(f"{sum(right) / sum(drawn):.1%} ({low:.0%} to {high:.0%})")
        lines.append(" | ".join([kind, str(sum(drawn)), *cells]))
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    main()
