"""``steer generate``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ..files.whole import save_text
from ..parser import parse
from ..pictures import check_finite, save_picture, to_image
from ..report.run import trace_as_json
from ..steering import Steering
from ..wording import brief
from .models import add_model_options, add_sampling_options, load_model, scale_of, size_of
from .options import (
    MOST_SEEDS,
    check_picture,
    check_place,
    place_of,
    printable,
    seed,
    text,
)
from .steering import LOSSES, NONE, add_steering_options, loss_of, schedule_of


def add_generate_command(commands: argparse._SubParsersAction) -> None:
    """``steer generate``."""
    generate = commands.add_parser("generate", help="draw a prompt")
    generate.add_argument("prompt", type=text, help='such as "a giraffe above an airplane"')
    add_model_options(generate, single_files=True)
    add_sampling_options(generate)
    generate.add_argument(
        "--negative", type=text, default="", metavar="PROMPT", help="what the picture should not show"
    )
    generate.add_argument("--seed", type=seed, nargs="+", default=[0], help="one picture for each (default: 0)")
    generate.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="picture to write; with several seeds, the seed is put before the suffix",
    )
    generate.add_argument("--maps", type=Path, metavar="FILE", help="also write the first picture's token maps")
    generate.add_argument("--report", type=Path, metavar="FILE", help="also write the trace of the steering, as JSON")
    add_steering_options(generate, (*LOSSES, NONE))
    generate.set_defaults(run=_generate)


def _generate(options: argparse.Namespace) -> None:
    from ..backends.diffusers import generate, ground_prompt
    from ..report.viz import map_sheet

    files = _picture_files(options)
    _check_files(options, files)
    loss, schedule = loss_of(options, options.model), schedule_of(options)
    is_steered = NONE not in options.loss and parse(options.prompt).relations
    looks = is_steered and schedule.steered_steps(options.steps)
    if options.maps and not looks:
        raise ValueError(f"{options.maps}: maps are recorded where steering looks, and no step of this is steered.")
    pipeline = load_model(options)
    scale = scale_of(options, pipeline)
    size = size_of(options)
    scene = ground_prompt(pipeline, options.prompt)
    print(scene.summary())
    steering = Steering(scene, loss, schedule) if looks or (is_steered and schedule.bound) else None
    drawn = generate(pipeline, options.prompt, options.seed, steering, options.steps, scale, options.negative, size)
    pictures = check_finite(drawn)
    for file, picture in zip(files, pictures):
        save_picture(to_image(picture), file)
        print(printable(file))
    trace, unsteered, restarts = (steering.trace, steering.unsteered, steering.restarts) if steering else ([], [], [])
    binding = steering.binding(options.steps) if steering else None
    for line in [*(binding.lines() if binding else []), *restarts]:
        print(line)
    if options.report:
        report = {"seeds": options.seed, **trace_as_json(scene, trace, unsteered, binding, restarts)}
        save_text(json.dumps(report, indent=1) + "\n", options.report)
        print(printable(options.report))
    if options.maps:
        save_picture(map_sheet(scene, trace, (), pictures[0]), options.maps)
        print(printable(options.maps))


def _picture_files(options: argparse.Namespace) -> list[Path]:
    """Where the picture of each seed goes."""
    if len(options.seed) == 1:
        return [options.out]
    return [options.out.with_stem(f"{options.out.stem}_{number}") for number in options.seed]


def _check_files(options: argparse.Namespace, files: Sequence[Path]) -> None:
    """Refuse before sampling what could not be written after it."""
    if not 0 < len(set(options.seed)) == len(options.seed) <= MOST_SEEDS:
        raise ValueError(f"--seed {brief(options.seed)}: {MOST_SEEDS} seeds at most were expected, each of them once.")
    for file in (options.out, *files, *filter(None, [options.maps])):
        check_picture(file)
    if options.report:
        check_place(options.report)
        if options.report.suffix.lower() != ".json":
            raise ValueError(f"{options.report}: a name that ends in .json was expected for the report.")
    if options.maps and place_of(options.maps) in map(place_of, (options.out, *files)):
        raise ValueError(f"{options.maps} was given for both the picture and its maps. Give two names.")
