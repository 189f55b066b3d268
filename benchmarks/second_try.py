"""Where a steered picture came out wrong: how often a second try puts it right, by what is tried.

python -m benchmarks.second_try            both miniatures; see docs/measured.md
python -m benchmarks.second_try --quick    four prompts, in two minutes on two cores
python -m benchmarks.second_try --json     one object with all rows

The defaults draw prompts of two objects that training never showed together. Those of them with a wrong picture are
drawn again in each way, and of the wrong ones is told which are right then: of those that lack an object, and of those
whose relation is wrong. Of the ones that had been right it is told how many still are.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline

from benchmarks.command import add_drawing_options, add_json_option, add_quick_option, drawing, refusing
from benchmarks.compared import ComparedWay, Draw, by_loss
from benchmarks.measuring import SEED_STRIDE, Measurement, Sampling, draw_all, estimate_as_row, pairs_suite
from benchmarks.named_losses import named_loss
from benchmarks.tables import share_cell
from benchmarks.ways import LEARNED_LOSSES, learned_schedule
from steering_core.classifier import CLASSIFIERS_DIR
from steering_core.cli.options import positive
from steering_core.evaluation.arms import Drawn
from steering_core.evaluation.folder import EvaluationFolder
from steering_core.evaluation.results import verdicts
from steering_core.evaluation.rules import RULES, VISOR
from steering_core.evaluation.statistics import share
from steering_core.evaluation.suites import ScenePrompt, Suite
from steering_core.evaluation.tables import markdown_table
from steering_core.losses import CentroidLoss
from steering_core.miniature.folder import SHIPPED
from steering_core.schedule import GUIDANCE, SteeringSchedule
from tools.command import command_line

_PROMPTS, _QUICK_PROMPTS = 96, 4
#: What a picture can be at first, and how tables name the share of these that is right after the second try.
_MISSING, _WRONG, _RIGHT = "object missing", "relation wrong", "right"
_COLUMNS = {
    _MISSING: "right where an object was missing",
    _WRONG: "right where the relation was wrong",
    _RIGHT: "still right",
}


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument(
        "--model", nargs="+", choices=SHIPPED, default=list(SHIPPED), help="which miniatures draw (default: both)"
    )
    parser.add_argument(
        "--prompts",
        type=positive,
        default=_PROMPTS,
        metavar="N",
        help="how many prompts are drawn (default: %(default)s)",
    )
    add_quick_option(parser, f"only {_QUICK_PROMPTS} prompts")
    add_json_option(parser)
    add_drawing_options(parser)
    options = parser.parse_args()
    numbers = range(_QUICK_PROMPTS if options.quick else options.prompts)
    with drawing(options) as (out, pool):
        samplings = {name: Sampling(SHIPPED[name]) for name in options.model}
        with refusing(parser):
            firsts = {
                name: Measurement.of(out / "first", pairs_suite(), numbers, [_DEFAULT], sampling)
                for name, sampling in samplings.items()
            }
            draw_all(firsts.values(), pool)
            before = {name: _wrong(name, first) for name, first in firsts.items()}
            seconds = {name: _again(out / "second", name, first, before[name]) for name, first in firsts.items()}
        draw_all(seconds.values(), pool)
        rows = [row for name, second in seconds.items() for row in _rows(name, list(before[name].values()), second)]
    if options.json:
        print(json.dumps({"rows": rows}, allow_nan=False))
        return
    print("\n\n".join(_table(name, [row for row in rows if row["model"] == name]) for name in options.model))


def tries_of(model: str) -> list[ComparedWay]:
    """What an artist can try next, on one of the miniatures."""
    combined = partial(named_loss, LEARNED_LOSSES["combined"], CLASSIFIERS_DIR / f"{model}.safetensors")
    return [
        ComparedWay("another seed", "all else as it was", partial(_by_other_seeds, _DEFAULT.draw)),
        _steering("strength 2", "twice as far in each step", SteeringSchedule(strength=2.0)),
        _steering("two moves a step", "two refinements", SteeringSchedule(refinements=2)),
        _steering("longer", "the first half of the steps", SteeringSchedule(end=0.5)),
        _steering("other rule", "noise guidance", SteeringSchedule(GUIDANCE)),
        _steering("bound", "objects bound to their regions as well", SteeringSchedule(bound=0.5)),
        _steering("restarts", "up to three, where objects overlap", SteeringSchedule(restarts=3)),
        ComparedWay(
            "combined loss", LEARNED_LOSSES["combined"], by_loss(combined, learned_schedule(SteeringSchedule()))
        ),
    ]


def _steering(name: str, meaning: str, schedule: SteeringSchedule) -> ComparedWay:
    """The centroid loss, by a schedule."""
    return ComparedWay(name, meaning, by_loss(partial(CentroidLoss), schedule))


_DEFAULT = _steering("default", "as it comes", SteeringSchedule())


def _by_other_seeds(
    draw: Draw, model: DiffusionPipeline, prompt: ScenePrompt, sampling: Sampling, seeds: Sequence[int]
) -> Drawn:
    """From other noise."""
    return draw(model, prompt, sampling, [seed + SEED_STRIDE for seed in seeds])


def _wrong(model: str, first: Measurement[ComparedWay]) -> dict[int, list[str]]:
    """By their numbers the prompts with a picture that came out wrong: what each of their pictures is.

    Raises:
        ValueError: there is none.
    """
    outcomes = {number: _outcomes(first.folder, _DEFAULT.name, number) for number in first.numbers}
    wrong = {number: pictures for number, pictures in outcomes.items() if set(pictures) != {_RIGHT}}
    if not wrong:
        raise ValueError(f"--prompts: all pictures of {model} came out right. Draw more.")
    return wrong


def _again(
    out: Path, model: str, first: Measurement[ComparedWay], numbers: Collection[int]
) -> Measurement[ComparedWay]:
    """Some of the prompts, for a second try.

    Raises:
        See ``Measurement.of``.
    """
    prompts = tuple(first.folder.suite.prompts[number] for number in numbers)
    suite = Suite(f"{len(prompts)}_of_{len(first.prompts)}", prompts, first.folder.suite.seeds)
    return Measurement.of(out, suite, range(len(prompts)), tries_of(model), first.sampling)


def _outcomes(folder: EvaluationFolder, arm: str, number: int) -> list[str]:
    """What each picture of a prompt is."""
    trials = [verdict.trial for verdict in verdicts(folder, arm, number, RULES[VISOR])]
    return [_RIGHT if trial.correct else _WRONG if trial.present else _MISSING for trial in trials]


def _rows(model: str, before: Sequence[Sequence[str]], second: Measurement[ComparedWay]) -> list[dict[str, Any]]:
    """A row for each try.

    Args:
        before: what each prompt's pictures were at first.
    """
    rows = []
    for way in second.ways:
        after = [_outcomes(second.folder, way.name, number) for number in second.numbers]
        rows.append({"model": model, "try": way.name, "meaning": way.meaning, **right_then(before, after)})
    return rows


def right_then(before: Sequence[Sequence[str]], after: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Of each outcome of the first try how many pictures had it, and the share of these that is right in the second.

    Args:
        before, after: of each prompt what its pictures are in either.
    """
    row: dict[str, Any] = {}
    for outcome in _COLUMNS:
        right = [
            [then == _RIGHT for was, then in zip(one, other) if was == outcome] for one, other in zip(before, after)
        ]
        row[f"{outcome}_pictures"] = sum(map(len, right))
        row |= estimate_as_row(outcome, share(list(map(sum, right)), list(map(len, right))))
    return row


def _table(model: str, rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: shares in percent with 95 % intervals in brackets, the numbers of pictures in the head."""
    counts = {outcome: rows[0][f"{outcome}_pictures"] for outcome in _COLUMNS}
    head = ["second try", "what it is", *(f"{title} ({counts[outcome]})" for outcome, title in _COLUMNS.items())]
    lines = [[row["try"], row["meaning"], *(share_cell(row, outcome) for outcome in _COLUMNS)] for row in rows]
    return f"{model}\n\n{markdown_table(head, lines)}"


if __name__ == "__main__":
    main()
