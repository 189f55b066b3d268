"""``steer verify``."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ..miniature.folder import SHIPPED
from ..pictures import check_finite, save_picture, to_image
from ..relations import CARDINAL_RELATIONS
from ..trace import settled
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

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from ..detection.detectors import ObjectDetector
    from ..evaluation.suites import ScenePrompt
    from ..evaluation.visor import Trial
    from ..losses import SteeringLoss
    from ..schedule import SteeringSchedule
    from ..steering import Steering

#: Objects of COCO that the miniatures know too, a prompt each; the four relations in turn.
_PAIRS = (
    ("dog", "teddy bear"),
    ("cat", "chair"),
    ("bird", "bus"),
    ("apple", "cake"),
    ("horse", "bicycle"),
    ("cup", "book"),
    ("giraffe", "airplane"),
    ("pizza", "umbrella"),
    ("clock", "couch"),
    ("elephant", "car"),
)
_WAYS = ("unsteered", "steered")
_LIBRARIES = ("torch", "diffusers", "transformers")


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
    verify.add_argument(
        "--prompts", type=whole(1, len(_PAIRS)), default=len(_PAIRS), help="how many of the ten (default: all)"
    )
    add_steering_options(verify, LOSSES)
    verify.set_defaults(run=_verify)


@dataclass(frozen=True)
class _Tried:
    """A prompt, drawn both ways: pictures (3, H, W), seconds, what steering saw, and verdicts if anyone looked."""

    prompt: ScenePrompt
    pictures: tuple[Tensor, Tensor]
    seconds: tuple[float, float]
    steering: Steering
    trials: tuple[Trial, Trial] | None


def _verify(options: argparse.Namespace) -> None:
    import torch
    from tqdm import tqdm

    from ..backends.diffusers import check_device
    from ..viz import VERDICT_COLOURS, SheetRow, contact_sheet

    check_picture(options.out)
    check_device(options.device)
    loss, schedule = loss_of(options, options.model), schedule_of(options)
    looks = options.detector is not None or options.model in SHIPPED
    detector = load_detector(options) if looks else None
    prompts = _prompts(options.prompts)
    if detector is not None:
        detector.check([name for prompt in prompts for name in prompt.objects])
        try_on_blank(lambda blank: detector.find(blank, ()), size_of(options))
    pipeline = load_model(options)
    drawn = _drawn(options, pipeline, detector, prompts, loss, schedule)
    tried = list(tqdm(drawn, "drawing", len(prompts), unit="prompt"))
    rows = []
    for one in tried:
        frames = [(128, 128, 128)] * 2
        if one.trials is not None:
            frames = [VERDICT_COLOURS[trial.verdict] for trial in one.trials]
        rows.append(SheetRow(one.prompt.text, torch.stack(one.pictures), frames))
    save_picture(contact_sheet(rows, f"left: {_WAYS[0]}; right: {_WAYS[1]}"), options.out)
    for name, told in _report(options, pipeline, tried):
        print(f"| {name} | {told} |")


def _prompts(count: int) -> list[ScenePrompt]:
    from ..evaluation.suites import ScenePrompt

    relations = (CARDINAL_RELATIONS[at % len(CARDINAL_RELATIONS)] for at in range(len(_PAIRS)))
    return [ScenePrompt(((a, relation, b),)) for (a, b), relation in zip(_PAIRS[:count], relations)]


def _drawn(
    options: argparse.Namespace,
    pipeline: DiffusionPipeline,
    detector: ObjectDetector | None,
    prompts: Sequence[ScenePrompt],
    loss: SteeringLoss,
    schedule: SteeringSchedule,
) -> Iterator[_Tried]:
    from ..backends.diffusers import generate, ground_prompt
    from ..evaluation.visor import judge
    from ..steering import Steering

    scale, size = scale_of(options, pipeline), size_of(options)
    for number, prompt in enumerate(prompts):
        steering = Steering(ground_prompt(pipeline, prompt.text, prompt.scene), loss, schedule)
        pictures, seconds = [], []
        if not number:  # the first call of all is slower than the others
            generate(pipeline, prompt.text, [options.seed], None, 1, scale, size=size)
        for way in (None, steering):
            start = time.perf_counter()
            drawn = generate(pipeline, prompt.text, [options.seed], way, options.steps, scale, size=size)
            seconds.append(time.perf_counter() - start)
            pictures.append(check_finite(drawn)[0])
        trials = None
        if detector is not None:
            found = (detector.find(to_image(picture), prompt.objects) for picture in pictures)
            first, second = (judge(prompt.relations, one) for one in found)
            trials = first, second
        yield _Tried(prompt, (pictures[0], pictures[1]), (seconds[0], seconds[1]), steering, trials)


def _report(
    options: argparse.Namespace, pipeline: DiffusionPipeline, tried: Sequence[_Tried]
) -> Iterator[tuple[str, str]]:
    """Rows of the table: what, and what is told of it."""
    import torch

    from ..backends.diffusers.families import readable_network
    from ..backends.diffusers.pipelines import kind_of

    network = kind_of(pipeline).network_of(pipeline)
    probes = [entry for one in tried for entry in one.steering.trace]
    unsteered = [told for one in tried for told in one.steering.unsteered]
    on_card = torch.device(options.device).type == "cuda"
    yield "model", f"{kind_of(pipeline).name}: {type(pipeline).__name__}, {type(network).__name__}, {network.dtype}"
    yield "on", torch.cuda.get_device_name(options.device) if on_card else f"the CPU, {platform.machine()}"
    yield "with", ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    yield "sampling", f"{options.steps} steps, {len(tried)} prompts, seed {options.seed}"
    steering = tried[0].steering.for_network(readable_network(network).layers)
    yield "layers read", " ".join(steering.loss.layers)
    yield "tokens", "; ".join(_tokens(one) for one in tried[:2])
    if tried[0].steering.schedule.steered_steps(options.steps):
        off = [(entry.mean_map.sum(dim=(-2, -1)) - 1).abs().max() for entry in probes]
        finite = all(one.loss.isfinite().all() for one in probes)
        sound = bool(probes) and bool(torch.stack(off).max() < 1e-3) and finite
        moved = sum(bool((entry.gradient_norm > 0).any()) for entry in probes)
        told = "finite, each map sums to 1" if sound else "**not finite, or no map**"
        yield "maps and losses", f"{told}; {moved} moves"
        yield "steps not steered", "none" if not unsteered else f"**{len(unsteered)}**: {unsteered[0]}"
        stood = [relation for one in tried for relation in settled(one.steering.scene, one.steering.trace)]
        stands = sum(bool(relation.stands.all()) for relation in stood)
        yield "attention stands as asked, at the last look", f"{stands} of {len(stood)} prompts"
    else:
        yield "maps and losses", "none was read: by these options no step is steered"
    if bindings := [binding for one in tried if (binding := one.steering.binding(options.steps))]:
        asked, done = sum(binding.asked for binding in bindings), sum(len(binding.bound) for binding in bindings)
        unbound = [step for binding in bindings for step in binding.unbound]
        yield "steps with bound objects", f"{done} of {asked}" + (f"; **{unbound[0]}**" if unbound else "")
    before, after = (sum(one.seconds[at] for one in tried) / len(tried) for at in range(2))
    yield "time of a picture", f"{before:.2f} s unsteered, {after:.2f} s steered ({after / before:.2f} ×)"
    if on_card:
        yield "peak memory", f"{torch.cuda.max_memory_allocated(options.device) / 2**30:.1f} GiB"
    if tried[0].trials is not None:
        for at, way in enumerate(_WAYS):
            trials = [one.trials[at] for one in tried if one.trials is not None]
            present, correct = sum(trial.present for trial in trials), sum(trial.correct for trial in trials)
            yield f"{way}, as a detector sees it", f"both objects in {present}, right in {correct} of {len(trials)}"


def _tokens(one: _Tried) -> str:
    scene = one.steering.scene
    return ", ".join(f"{name}: {len(tokens)}" for name, tokens in zip(scene.names, scene.tokens))
