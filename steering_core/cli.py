"""The command line, ``steer``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from .classifier import MINIATURE_CLASSIFIER, load_classifier
from .losses import CentroidLoss, CombinedLoss, LearnedLoss, PresenceLoss, SteeringLoss
from .losses.centroid import FUNCTIONS, ORTHOGONAL_NORMS
from .miniature.commands import add_miniature_commands
from .options import check_folder, check_picture, positive, whole_number
from .parser import parse
from .relations import SpatialRelation
from .schedule import DESCENT, GUIDANCE, IN_TURN, TOGETHER, SteeringSchedule
from .steering import Steering, SteeringError
from .trace import trace_as_json
from .training.commands import add_classifier_commands, add_record_command, add_train_command

#: What ``--loss`` offers; none only where a single picture is drawn.
_CENTROID, _LEARNED, _PRESENCE, _NONE = "centroid", "learned", "presence", "none"
_LOSSES = (_CENTROID, _LEARNED, _PRESENCE)


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
        return 0
    except ModuleNotFoundError as error:
        message = f"{error}: pip install 'comfyui-spatial-steering[cli]'"
    except (ValueError, OSError, SteeringError) as error:
        message = str(error)
    print(f"steer: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


class _Parser(argparse.ArgumentParser):
    """Tells errors on one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="steer", description="Spatial relations in a prompt come true while the image is sampled.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="draw the same seeds unsteered and steered, and score both")
    demo.add_argument(
        "--out", type=Path, default=Path("demo.png"), help="contact sheet to write (default: %(default)s)"
    )
    demo.add_argument("--prompts", type=positive, default=8, help="how many prompts (default: %(default)s)")
    _add_steering_options(demo, _LOSSES)
    demo.set_defaults(run=_demo)

    generate = commands.add_parser("generate", help="draw a prompt")
    generate.add_argument("prompt", help='such as "a giraffe above an airplane"')
    generate.add_argument(
        "--model",
        default="miniature",
        help="miniature, a diffusers pipeline's folder, or a name in the local cache of "
        "Hugging Face (default: %(default)s)",
    )
    generate.add_argument("--negative", default="", metavar="PROMPT", help="what the picture should not show")
    generate.add_argument("--seed", type=whole_number, nargs="+", default=[0], help="one picture for each (default: 0)")
    generate.add_argument("--steps", type=positive, default=25, help="denoising steps (default: %(default)s)")
    generate.add_argument(
        "--cfg", type=float, default=5.0, help="classifier-free guidance scale (default: %(default)s)"
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
    parse_command.add_argument("prompt", help='such as "a cat between a dog and a bird"')
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
    which.add_argument("--weights", type=float, nargs="+", metavar="W", help="of several losses (default: 1 each)")
    which.add_argument(
        "--classifier",
        type=Path,
        default=MINIATURE_CLASSIFIER,
        metavar="FILE",
        help="of the learned loss (default: the miniature's)",
    )
    loss = parser.add_argument_group("centroid loss")
    loss.add_argument("--function", choices=FUNCTIONS, default=CentroidLoss.function, help="f (default: %(default)s)")
    loss.add_argument("--alpha", type=float, help="scale of f (default: the paper's for f)")
    loss.add_argument("--margin", type=float, help="distance to keep, in picture widths (default: the paper's for f)")
    loss.add_argument(
        "--leaky-slope", type=float, default=CentroidLoss.leaky_slope, help="of leaky_relu (default: %(default)s)"
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
        loss.add_argument(f"--{term}-weight", type=float, default=default, help=f"{aim} (default: %(default)s)")
    schedule = parser.add_argument_group("schedule")
    schedule.add_argument(
        "--update", choices=(DESCENT, GUIDANCE), default=SteeringSchedule.update, help="rule (default: %(default)s)"
    )
    schedule.add_argument(
        "--start",
        type=float,
        default=SteeringSchedule.start,
        help="share of the steps before it (default: %(default)s)",
    )
    schedule.add_argument(
        "--end",
        type=float,
        default=SteeringSchedule.end,
        help="share of the steps after which it stops (default: %(default)s)",
    )
    schedule.add_argument("--step-size", type=float, help="strength (default: the update rule's)")
    schedule.add_argument(
        "--refinements",
        type=positive,
        default=SteeringSchedule.refinements,
        help="at most so many moves a step (default: %(default)s)",
    )
    schedule.add_argument(
        "--target", type=float, default=SteeringSchedule.target, help="loss to stop at (default: %(default)s)"
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
    from .demo import run_demo

    check_picture(options.out)
    loss, schedule = _loss(options), _schedule(options)
    run_demo(lambda scene: Steering(scene, loss, schedule), options.prompts, options.out)


def _generate(options: argparse.Namespace) -> None:
    from .backends.diffusers import generate, ground_prompt, load_pipeline
    from .miniature.folder import MINIATURE_DIR
    from .viz import map_sheet, to_image

    _check_files(options)
    loss, schedule = _loss(options), _schedule(options)
    pipeline = load_pipeline(MINIATURE_DIR if options.model == "miniature" else options.model, options.device)
    scene = ground_prompt(pipeline, options.prompt)
    print(scene.summary())
    steers = _NONE not in options.loss and scene.relations and schedule.steered_steps(options.steps)
    if options.maps and not steers:
        raise ValueError(f"{options.maps}: maps are recorded where steering looks, and no step of this is steered.")
    steering = Steering(scene, loss, schedule) if steers else None
    pictures = generate(pipeline, options.prompt, options.seed, steering, options.steps, options.cfg, options.negative)
    for seed, picture in zip(options.seed, pictures):
        several = len(options.seed) > 1
        file = options.out.with_stem(f"{options.out.stem}_{seed}") if several else options.out
        to_image(picture).save(file)
        print(file)
    trace = steering.trace if steering else []
    if options.maps:
        map_sheet(scene, trace, (), pictures[0]).save(options.maps)
        print(options.maps)
    if options.report:
        report = {"seeds": options.seed, **trace_as_json(scene, trace)}
        options.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(options.report)


def _check_files(options: argparse.Namespace) -> None:
    """Refuse before sampling what could not be written after it."""
    for file in filter(None, (options.out, options.maps)):
        check_picture(file)
    if options.report:
        check_folder(options.report)
        if options.report.suffix.lower() != ".json":
            raise ValueError(f"{options.report}: a name that ends in .json was expected for the report.")
    if options.maps == options.out:
        raise ValueError(f"{options.out} was given for both the picture and its maps. Give two names.")
    if len(set(options.seed)) < len(options.seed):
        raise ValueError(f"--seed {' '.join(map(str, options.seed))}: each seed was expected once.")


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
