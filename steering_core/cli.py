"""The command line, ``steer``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import torch
from safetensors import SafetensorError

from .classifier import MINIATURE_CLASSIFIER, load_classifier
from .described import brief
from .losses import CentroidLoss, CombinedLoss, LearnedLoss, PresenceLoss, SteeringLoss
from .losses.centroid import FUNCTIONS, ORTHOGONAL_NORMS
from .miniature.commands import add_miniature_commands
from .options import (
    MOST_SEEDS,
    check_picture,
    check_place,
    guidance_scale,
    number,
    path_told,
    save_picture,
    save_text,
    seed,
    steps,
    text,
    whole,
)
from .parser import parse
from .relations import SpatialRelation
from .schedule import DESCENT, GUIDANCE, IN_TURN, TOGETHER, SteeringSchedule
from .steering import Steering, SteeringError
from .trace import trace_as_json
from .training.commands import add_classifier_commands, add_record_command, add_train_command

#: What ``--loss`` offers; none only where a single picture is drawn.
_CENTROID, _LEARNED, _PRESENCE, _NONE = "centroid", "learned", "presence", "none"
_LOSSES = (_CENTROID, _LEARNED, _PRESENCE)
#: Of the demo: a row for each of two ways stays within what picture formats hold.
_MOST_PROMPTS = 200
_FINITE = number()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: of the command line; those of the process when not given.

    Returns:
        Exit status: 0, or 2 after an error, which is told on one line of stderr.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()  # a full disk is an error of ours as well
        return 0
    except ModuleNotFoundError as error:
        message = f"{error}: pip install 'comfyui-spatial-steering[cli]'"
    except torch.OutOfMemoryError as error:
        message = f"the device's memory does not suffice, fewer seeds or a smaller model need less: {error}"
    except (ValueError, OSError, SteeringError, SafetensorError) as error:
        message = str(error)
    print(f"steer: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


class _Parser(argparse.ArgumentParser):
    """Tells errors on one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="steer", description="Spatial relations in a prompt come true while the image is sampled.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="draw the same seeds unsteered and steered, and score both")
    demo.add_argument(
        "--out", type=Path, default=Path("demo.png"), help="contact sheet to write (default: %(default)s)"
    )
    demo.add_argument(
        "--prompts", type=whole(1, _MOST_PROMPTS), default=8, help="how many prompts (default: %(default)s)"
    )
    _add_steering_options(demo, _LOSSES)
    demo.set_defaults(run=_demo)

    generate = commands.add_parser("generate", help="draw a prompt")
    generate.add_argument("prompt", type=text, help='such as "a giraffe above an airplane"')
    generate.add_argument(
        "--model",
        default="miniature",
        help="miniature, a diffusers pipeline's folder, or a name in the local cache of "
        "Hugging Face (default: %(default)s)",
    )
    generate.add_argument(
        "--negative", type=text, default="", metavar="PROMPT", help="what the picture should not show"
    )
    generate.add_argument("--seed", type=seed, nargs="+", default=[0], help="one picture for each (default: 0)")
    generate.add_argument("--steps", type=steps, default=25, help="denoising steps (default: %(default)s)")
    generate.add_argument(
        "--cfg", type=guidance_scale, default=5.0, help="classifier-free guidance scale (default: %(default)s)"
    )
    generate.add_argument("--device", default="cpu", help="torch device, such as cuda (default: %(default)s)")
    generate.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="picture to write; with several seeds, the seed is put before the suffix",
    )
    generate.add_argument("--maps", type=Path, metavar="FILE", help="also write the first picture's token maps")
    generate.add_argument("--report", type=Path, metavar="FILE", help="also write the trace of the steering, as JSON")
    _add_steering_options(generate, (*_LOSSES, _NONE))
    generate.set_defaults(run=_generate)

    parse_command = commands.add_parser("parse", help="show the relations that a prompt states")
    parse_command.add_argument("prompt", type=text, help='such as "a cat between a dog and a bird"')
    parse_command.add_argument("--json", action="store_true", help="as a list of objects")
    parse_command.set_defaults(run=_parse)

    add_record_command(commands)
    add_train_command(commands)
    add_classifier_commands(commands)
    add_miniature_commands(commands)
    return parser


def _add_steering_options(parser: argparse.ArgumentParser, losses: Sequence[str]) -> None:
    """Options of loss and schedule; those not given keep the defaults of the core."""
    which = parser.add_argument_group("losses")
    which.add_argument(
        "--loss", choices=losses, nargs="+", default=[_CENTROID], help="one, or several that add up (default: centroid)"
    )
    which.add_argument("--weights", type=_FINITE, nargs="+", metavar="W", help="of several losses (default: 1 each)")
    which.add_argument(
        "--classifier",
        type=Path,
        default=MINIATURE_CLASSIFIER,
        metavar="FILE",
        help="of the learned loss (default: the miniature's)",
    )
    loss = parser.add_argument_group("centroid loss")
    loss.add_argument("--function", choices=FUNCTIONS, default=CentroidLoss.function, help="f (default: %(default)s)")
    loss.add_argument("--alpha", type=_FINITE, help="scale of f (default: the paper's for f)")
    loss.add_argument("--margin", type=_FINITE, help="distance to keep, in picture widths (default: the paper's for f)")
    loss.add_argument(
        "--leaky-slope", type=_FINITE, default=CentroidLoss.leaky_slope, help="of leaky_relu (default: %(default)s)"
    )
    loss.add_argument(
        "--orthogonal",
        choices=tuple(ORTHOGONAL_NORMS),
        default=CentroidLoss.orthogonal,
        help="keep objects level across the relation's axis (default: %(default)s)",
    )
    for term, aim in {
        "orthogonal": "of the orthogonal term",
        "presence": "of the term that pulls each object's attention together",
        "balance": "of the term that makes both objects' attention spread alike",
    }.items():
        default = getattr(CentroidLoss, f"{term}_weight")
        loss.add_argument(f"--{term}-weight", type=_FINITE, default=default, help=f"{aim} (default: %(default)s)")
    schedule = parser.add_argument_group("schedule")
    schedule.add_argument(
        "--update", choices=(DESCENT, GUIDANCE), default=SteeringSchedule.update, help="rule (default: %(default)s)"
    )
    schedule.add_argument(
        "--start",
        type=_FINITE,
        default=SteeringSchedule.start,
        help="share of the steps before it (default: %(default)s)",
    )
    schedule.add_argument(
        "--end",
        type=_FINITE,
        default=SteeringSchedule.end,
        help="share of the steps after which it stops (default: %(default)s)",
    )
    schedule.add_argument("--step-size", type=number(0, 100), help="strength (default: the update rule's)")
    schedule.add_argument(
        "--refinements",
        type=whole(1, 100),
        default=SteeringSchedule.refinements,
        help="at most so many moves a step (default: %(default)s)",
    )
    schedule.add_argument(
        "--target", type=_FINITE, default=SteeringSchedule.target, help="loss to stop at (default: %(default)s)"
    )
    schedule.add_argument(
        "--order",
        choices=(TOGETHER, IN_TURN),
        default=SteeringSchedule.order,
        help="of several relations: all in each step, or one a step (default: %(default)s)",
    )


def _loss(options: argparse.Namespace) -> SteeringLoss:
    """What ``--loss`` and its weights ask for, none being the centroid loss that nothing follows."""
    wanted = [name for name in options.loss if name != _NONE] or [_CENTROID]
    if len(set(wanted)) < len(options.loss):
        raise ValueError(f"--loss {' '.join(options.loss)}: each loss was expected once, and none by itself.")
    weights = options.weights or [1.0] * len(wanted)
    if len(weights) != len(wanted):
        raise ValueError(f"--weights: {len(wanted)} were expected, one for each loss, not {len(weights)}.")
    losses = [_LOSS_MAKERS[name](options) for name in wanted]
    return losses[0] if len(losses) == 1 else CombinedLoss(tuple(zip(losses, weights)))


def _centroid_loss(options: argparse.Namespace) -> CentroidLoss:
    return CentroidLoss(
        options.function,
        options.alpha,
        options.margin,
        options.leaky_slope,
        options.orthogonal,
        options.orthogonal_weight,
        options.presence_weight,
        options.balance_weight,
    )


_LOSS_MAKERS: dict[str, Callable[[argparse.Namespace], SteeringLoss]] = {
    _CENTROID: _centroid_loss,
    _LEARNED: lambda options: LearnedLoss(load_classifier(options.classifier)),
    _PRESENCE: lambda options: PresenceLoss(),
}


def _schedule(options: argparse.Namespace) -> SteeringSchedule:
    return SteeringSchedule(
        update=options.update,
        start=options.start,
        end=options.end,
        step_size=options.step_size,
        refinements=options.refinements,
        target=options.target,
        order=options.order,
    )


def _demo(options: argparse.Namespace) -> None:
    from .demo import run_demo, sheet_size

    check_picture(options.out, sheet_size(options.prompts))
    loss, schedule = _loss(options), _schedule(options)
    run_demo(lambda scene: Steering(scene, loss, schedule), options.prompts, options.out)


def _generate(options: argparse.Namespace) -> None:
    from .backends.diffusers import generate, ground_prompt, load_pipeline
    from .miniature.folder import MINIATURE_DIR
    from .viz import check_finite, map_sheet, to_image

    files = _picture_files(options)
    _check_files(options, files)
    loss, schedule = _loss(options), _schedule(options)
    pipeline = load_pipeline(MINIATURE_DIR if options.model == "miniature" else options.model, options.device)
    scene = ground_prompt(pipeline, options.prompt)
    print(scene.summary())
    steers = _NONE not in options.loss and scene.relations and schedule.steered_steps(options.steps)
    if options.maps and not steers:
        raise ValueError(f"{options.maps}: maps are recorded where steering looks, and no step of this is steered.")
    steering = Steering(scene, loss, schedule) if steers else None
    pictures = check_finite(
        generate(pipeline, options.prompt, options.seed, steering, options.steps, options.cfg, options.negative)
    )
    for file, picture in zip(files, pictures):
        save_picture(to_image(picture), file)
        print(path_told(file))
    trace, unsteered = (steering.trace, steering.unsteered) if steering else ([], [])
    if options.report:
        report = {"seeds": options.seed, **trace_as_json(scene, trace, unsteered)}
        save_text(json.dumps(report, indent=1) + "\n", options.report)
        print(path_told(options.report))
    if options.maps:
        save_picture(map_sheet(scene, trace, (), pictures[0]), options.maps)
        print(path_told(options.maps))


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
    if options.maps in (options.out, *files):
        raise ValueError(f"{options.maps} was given for both the picture and its maps. Give two names.")


def _parse(options: argparse.Namespace) -> None:
    scene = parse(options.prompt)
    if options.json:
        print(json.dumps([_as_json(relation) for relation in scene.relations], indent=1))
    else:
        print("\n".join(map(str, scene.relations)) or "No spatial relation was found.")


def _as_json(relation: SpatialRelation) -> dict:
    return {
        "subject": relation.subject.text,
        "relation": relation.relation.value,
        "object": relation.object.text,
        "subject_span": [relation.subject.start, relation.subject.end],
        "object_span": [relation.object.start, relation.object.end],
    }
