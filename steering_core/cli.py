"""The command line, ``steer``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from .losses import CentroidLoss
from .losses.centroid import FUNCTIONS, ORTHOGONAL_NORMS
from .parser import parse
from .relations import SpatialRelation
from .schedule import DESCENT, GUIDANCE, IN_TURN, TOGETHER, SteeringSchedule
from .steering import Steering, SteeringError

#: What ``--loss`` offers.
_CENTROID, _NONE = "centroid", "none"


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
    demo.add_argument("--prompts", type=_positive, default=8, help="how many prompts (default: %(default)s)")
    _add_steering_options(demo)
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
    generate.add_argument("--seed", type=_seed, nargs="+", default=[0], help="one picture for each (default: 0)")
    generate.add_argument("--steps", type=_positive, default=25, help="denoising steps (default: %(default)s)")
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
    generate.add_argument("--loss", choices=(_CENTROID, _NONE), default=_CENTROID, help="(default: %(default)s)")
    _add_steering_options(generate)
    generate.set_defaults(run=_generate)

    parse_command = commands.add_parser("parse", help="show the relations that a prompt states")
    parse_command.add_argument("prompt", help='such as "a cat between a dog and a bird"')
    parse_command.add_argument("--json", action="store_true", help="as a list of objects")
    parse_command.set_defaults(run=_parse)

    _add_miniature_commands(commands)
    return parser


def _add_steering_options(parser: argparse.ArgumentParser) -> None:
    """Options of loss and schedule; those not given keep the defaults of the core."""
    loss = parser.add_argument_group("loss")
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
        type=_positive,
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


def _add_miniature_commands(commands: argparse._SubParsersAction) -> None:
    miniature = commands.add_parser("miniature", help="the model that ships with the project")
    actions = miniature.add_subparsers(required=True, metavar="ACTION")

    train = actions.add_parser("train", help="train it, from nothing or on from another; a stopped run is continued")
    train.add_argument("--out", type=Path, required=True, help="folder of the pipeline to write")
    train.add_argument("--work", type=Path, help="checkpoints and sample sheets (default: OUT.work)")
    train.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    train.add_argument(
        "--start", type=Path, metavar="DIR", help="miniature whose autoencoder is kept and whose denoiser is trained on"
    )
    train.add_argument("--autoencoder-steps", type=_positive, help="of the first stage")
    train.add_argument("--pictures", type=_positive, help="pictures of the second stage")
    train.add_argument(
        "--count-shares",
        type=float,
        nargs="+",
        metavar="SHARE",
        help="shares of these pictures with 1, 2, ... objects",
    )
    train.add_argument("--denoiser-steps", type=_positive, help="of the second stage")
    train.add_argument("--denoiser-rate", type=float, help="highest learning rate of the second stage")
    train.add_argument("--device", help="(default: cuda where there is some, else cpu)")
    train.set_defaults(run=_train)

    sample = actions.add_parser("sample", help="draw captions of its world, unsteered, and print them row by row")
    sample.add_argument("--model", type=Path, help="folder of the pipeline (default: the one that ships)")
    sample.add_argument("--data", action="store_true", help="write the pictures that it learns these captions from")
    sample.add_argument("--out", type=Path, required=True, help="contact sheet to write")
    sample.add_argument("--count", type=_positive, default=16, help="(default: %(default)s)")
    sample.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    sample.set_defaults(run=_sample)

    score = actions.add_parser(
        "score", help="measure the detector, and the model unsteered on pairs it never saw together"
    )
    score.add_argument("--model", type=Path, help="folder of the pipeline (default: the one that ships)")
    score.add_argument("--prompts", type=_positive, default=200, help="(default: %(default)s)")
    score.add_argument("--scenes", type=_positive, default=500, help="for the detector (default: %(default)s)")
    score.set_defaults(run=_score)

    glyphs = actions.add_parser("glyphs", help="draw the world's atlas of objects from Noto Color Emoji")
    glyphs.add_argument("--font", type=Path, required=True, help="NotoColorEmoji.ttf")
    glyphs.add_argument("--out", type=Path, required=True, help="atlas to write")
    glyphs.set_defaults(run=_glyphs)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on was expected, not {text}")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"a whole number from 0 to 2^64 - 1 was expected, not {text}")
    return int(text)


def _loss(options: argparse.Namespace) -> CentroidLoss:
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

    _check_picture(options.out)
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
    steers = options.loss != _NONE and scene.relations and schedule.steered_steps(options.steps)
    if options.maps and not steers:
        raise ValueError(f"{options.maps}: maps are recorded where steering looks, and no step of this is steered.")
    steering = Steering(scene, loss, schedule, record_maps=options.maps is not None) if steers else None
    pictures = generate(pipeline, options.prompt, options.seed, steering, options.steps, options.cfg, options.negative)
    for seed, picture in zip(options.seed, pictures):
        several = len(options.seed) > 1
        file = options.out.with_stem(f"{options.out.stem}_{seed}") if several else options.out
        to_image(picture).save(file)
        print(file)
    trace = steering.trace if steering else []
    if options.maps:
        map_sheet(trace, scene.names).save(options.maps)
        print(options.maps)
    if options.report:
        report = {
            "prompt": options.prompt,
            "seeds": options.seed,
            "objects": list(scene.names),
            "relations": [scene.describe(relation) for relation in scene.relations],
            "trace": [entry.as_json() for entry in trace],
        }
        options.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(options.report)


def _check_files(options: argparse.Namespace) -> None:
    """Refuse before sampling what could not be written after it."""
    for file in filter(None, (options.out, options.maps)):
        _check_picture(file)
    if options.report:
        _check_folder(options.report)
        if options.report.suffix.lower() != ".json":
            raise ValueError(f"{options.report}: a name that ends in .json was expected for the report.")
    if options.maps == options.out:
        raise ValueError(f"{options.out} was given for both the picture and its maps. Give two names.")
    if len(set(options.seed)) < len(options.seed):
        raise ValueError(f"--seed {' '.join(map(str, options.seed))}: each seed was expected once.")


def _check_picture(file: Path) -> None:
    from PIL import Image

    _check_folder(file)
    if Image.registered_extensions().get(file.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"{file}: a picture's name was expected, such as one that ends in .png.")


def _check_folder(file: Path) -> None:
    if not file.parent.is_dir():
        raise ValueError(f"{file}: the folder {file.parent} does not exist. Make it first, or give another path.")
    if file.is_dir():
        raise ValueError(f"{file} is a folder; the name of a file to write was expected.")


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


def _train(options: argparse.Namespace) -> None:
    import torch

    from .miniature.training import TrainingSettings, train_miniature

    names = ("autoencoder_steps", "pictures", "count_shares", "denoiser_steps", "denoiser_rate")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    work = options.work or options.out.with_name(options.out.name + ".work")
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    train_miniature(TrainingSettings(seed=options.seed, **given), work, options.out, device, options.start)


def _sample(options: argparse.Namespace) -> None:
    from .backends.diffusers import load_pipeline
    from .miniature.folder import MINIATURE_DIR
    from .miniature.training import draw_samples

    _check_picture(options.out)
    pipeline = None if options.data else load_pipeline(options.model or MINIATURE_DIR, "cpu")
    for caption in draw_samples(options.count, options.seed, options.out, pipeline):
        print(caption)


def _score(options: argparse.Namespace) -> None:
    from .backends.diffusers import load_pipeline
    from .miniature.detector import measure_detector
    from .miniature.folder import MINIATURE_DIR
    from .miniature.prompts import unseen_pair_prompts
    from .miniature.score import Arm, compare, unsteered

    prompts = unseen_pair_prompts(options.prompts, seed=0)
    pipeline = load_pipeline(options.model or MINIATURE_DIR, "cpu")
    print(json.dumps({"detector": asdict(measure_detector(options.scenes, seed=1))}))
    arm = Arm(unsteered)
    compare(pipeline, prompts, [arm])
    print(json.dumps({"unsteered": asdict(arm.scores)}))


def _glyphs(options: argparse.Namespace) -> None:
    from .miniature.world import extract_glyphs

    _check_picture(options.out)
    extract_glyphs(options.font).save(options.out, optimize=True)
