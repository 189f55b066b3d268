"""``steer verify``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..evaluation.suites.verification import VERIFICATION_PROMPTS
from ..miniature.folder import SHIPPED
from ..pictures import save_picture
from .models import (
    add_detector_option,
    add_model_options,
    add_sampling_options,
    load_detector,
    load_model,
    scale_of,
    size_of,
    try_on_blank,
)
from .options import check_picture, seed, whole
from .steering import LOSSES, add_steering_options, loss_of, schedule_of


def add_verify_command(commands: argparse._SubParsersAction) -> None:
    """``steer verify``."""
    verify = commands.add_parser(
        "verify",
        help="try steering on a model: ten prompts unsteered and steered, and a table for a report",
        description="Loads a model, draws ten prompts with and without steering, and says whether its maps and tokens "
        "make sense, what steering cost, and what a detector sees, if there is one.",
    )
    verify.add_argument("--out", type=Path, default=Path("verify.png"), help="pictures to write (default: %(default)s)")
    add_model_options(verify, single_files=True)
    add_detector_option(verify, otherwise="default: miniature for the miniatures, none for other models")
    add_sampling_options(verify)
    verify.add_argument("--seed", type=seed, default=42, help="(default: %(default)s)")
    count = len(VERIFICATION_PROMPTS)
    verify.add_argument("--prompts", type=whole(1, count), default=count, help="how many of the ten (default: all)")
    add_steering_options(verify, LOSSES)
    verify.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from ..backends.diffusers import check_device
    from ..backends.diffusers.verification import Sampling, draw_both_ways, report, sheet_of

    check_picture(options.out)
    check_device(options.device)
    loss, schedule = loss_of(options, options.model), schedule_of(options)
    looks = options.detector is not None or options.model in SHIPPED
    detector = load_detector(options) if looks else None
    prompts = VERIFICATION_PROMPTS[: options.prompts]
    if detector is not None:
        detector.check([name for prompt in prompts for name in prompt.objects])
        try_on_blank(lambda blank: detector.find(blank, ()), size_of(options))
    pipeline = load_model(options)
    sampling = Sampling(options.seed, options.steps, scale_of(options, pipeline), size_of(options))
    drawn = draw_both_ways(pipeline, prompts, sampling, loss, schedule, detector)
    tried = list(tqdm(drawn, "drawing", len(prompts), unit="prompt"))
    save_picture(sheet_of(tried), options.out)
    for name, finding in report(pipeline, tried, sampling):
        print(f"| {name} | {finding} |")
