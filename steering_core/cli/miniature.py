"""``steer miniature``."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path

from ..miniature.folder import SHIPPED
from ..pictures import save_picture
from .models import hide_loading_bars
from .options import check_folder, check_picture, number, whole

_SEED = whole(0, 2**32 - 1)
#: Memory for the latents of all pictures is 4 kB each.
_MOST_PICTURES = 200_000
_MOST_TRAINING_STEPS = 10_000_000
_MODEL = f"{' or '.join(SHIPPED)}, or the folder of another one's pipeline (default: %(default)s)"


def add_miniature_commands(commands: argparse._SubParsersAction) -> None:
    """``steer miniature``: train, sample and score it."""
    miniature = commands.add_parser("miniature", help="the models that ship with the project")
    actions = miniature.add_subparsers(required=True, metavar="ACTION")

    train = actions.add_parser("train", help="train it, from nothing or on from another; a stopped run is continued")
    train.add_argument("--out", type=Path, required=True, help="folder of the pipeline to write")
    train.add_argument(
        "--shape",
        choices=("unet", "flux"),
        default="unet",
        help="of the first miniature or of the second (default: %(default)s)",
    )
    train.add_argument("--work", type=Path, help="checkpoints and sample sheets (default: OUT.work)")
    train.add_argument("--seed", type=_SEED, default=0, help="(default: %(default)s)")
    train.add_argument(
        "--start",
        type=Path,
        metavar="DIR",
        help="miniature whose autoencoder is kept and whose denoiser is trained on; for flux, one of either shape, of "
        "the first only the autoencoder (default for flux: the first one that ships)",
    )
    train.add_argument("--autoencoder-steps", type=whole(1, _MOST_TRAINING_STEPS), help="of the first stage")
    train.add_argument("--pictures", type=whole(1, _MOST_PICTURES), help="pictures of the second stage")
    train.add_argument(
        "--count-shares",
        type=number(0, 1),
        nargs="+",
        metavar="SHARE",
        help="shares of these pictures with 1, 2, ... objects",
    )
    train.add_argument("--denoiser-steps", type=whole(1, _MOST_TRAINING_STEPS), help="of the second stage")
    train.add_argument("--denoiser-batch", type=whole(1, 4096), help="pictures a step of the second stage")
    train.add_argument("--denoiser-rate", type=number(0, 1), help="highest learning rate of the second stage")
    train.add_argument("--device", help="(default: cuda where there is some, else cpu)")
    train.set_defaults(run=_train)

    sample = actions.add_parser("sample", help="draw captions of its world, unsteered, and print them row by row")
    sample.add_argument("--model", metavar="NAME", default="miniature", help=_MODEL)
    sample.add_argument("--data", action="store_true", help="write the pictures that it learns these captions from")
    sample.add_argument("--out", type=Path, required=True, help="contact sheet to write")
    sample.add_argument("--count", type=whole(1, 1000), default=16, help="(default: %(default)s)")
    sample.add_argument("--seed", type=_SEED, default=0, help="(default: %(default)s)")
    sample.set_defaults(run=_sample)

    score = actions.add_parser(
        "score", help="measure the detector, and the model unsteered on pairs it never saw together"
    )
    score.add_argument("--model", metavar="NAME", default="miniature", help=_MODEL)
    score.add_argument("--prompts", type=whole(1, 384), default=200, help="(default: %(default)s)")
    score.add_argument("--scenes", type=whole(1, 100_000), default=500, help="for the detector (default: %(default)s)")
    score.set_defaults(run=_score)

    glyphs = actions.add_parser("glyphs", help="draw the world's atlas of objects from Noto Color Emoji")
    glyphs.add_argument("--font", type=Path, required=True, help="NotoColorEmoji.ttf")
    glyphs.add_argument("--out", type=Path, required=True, help="atlas to write")
    glyphs.set_defaults(run=_glyphs)


def _train(options: argparse.Namespace) -> None:
    import torch

    from ..miniature.flux_training import FluxTrainingSettings, train_flux_miniature
    from ..miniature.folder import MINIATURE_DIR
    from ..miniature.training import TrainingSettings, train_miniature

    names = ("autoencoder_steps", "pictures", "count_shares", "denoiser_steps", "denoiser_batch", "denoiser_rate")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    work = options.work or options.out.with_name(options.out.name + ".work")
    for folder in (options.out, work):
        check_folder(folder)
    if work.resolve().is_relative_to(options.out.resolve()):
        raise ValueError(
            f"--work {work} lies in --out {options.out}, which is replaced at the end. Give another folder."
        )
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if options.shape == "unet":
        train_miniature(TrainingSettings(seed=options.seed, **given), work, options.out, device, options.start)
        return
    if "autoencoder_steps" in given:
        raise ValueError("--autoencoder-steps: the flux shape takes the first miniature's autoencoder as it is.")
    settings = FluxTrainingSettings(seed=options.seed, **given)
    train_flux_miniature(settings, work, options.out, device, options.start or MINIATURE_DIR)


def _sample(options: argparse.Namespace) -> None:
    from ..backends.diffusers import load_pipeline
    from ..miniature.sheets import draw_samples

    check_picture(options.out)
    hide_loading_bars()
    pipeline = None if options.data else load_pipeline(SHIPPED.get(options.model, options.model), "cpu")
    for caption in draw_samples(options.count, options.seed, options.out, pipeline):
        print(caption)


def _score(options: argparse.Namespace) -> None:
    from ..backends.diffusers import load_pipeline
    from ..evaluation.figures import figures
    from ..miniature.detector import GlyphDetector
    from ..miniature.detector_score import measure_detector
    from ..miniature.prompts import unseen_pair_prompts
    from ..miniature.score import draw, unsteered

    prompts = unseen_pair_prompts(options.prompts, seed=0)
    hide_loading_bars()
    pipeline = load_pipeline(SHIPPED.get(options.model, options.model), "cpu")
    print(json.dumps({"detector": asdict(measure_detector(options.scenes, seed=1))}))
    detector = GlyphDetector()
    measured = figures([draw(pipeline, detector, prompt, unsteered).counts for prompt in prompts])
    scores = {
        "images": measured.pictures,
        "oa": measured.oa.value,
        "visor_cond": None if math.isnan(measured.visor_cond.value) else measured.visor_cond.value,  # JSON has no nan
        "visor_uncond": measured.visor_uncond.value,
        "visor_n": [one.value for one in measured.visor_n],
    }
    print(json.dumps({"unsteered": scores}))


def _glyphs(options: argparse.Namespace) -> None:
    from ..miniature.world import extract_glyphs

    check_picture(options.out)
    save_picture(extract_glyphs(options.font), options.out, optimize=True)
