"""Steering tried on a pipeline: prompts drawn unsteered and steered, and what that tells of maps, tokens and cost."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import torch
from diffusers import DiffusionPipeline
from PIL.Image import Image
from torch import Tensor

from ...detection.detectors import ObjectDetector
from ...evaluation.suites import ScenePrompt
from ...evaluation.visor import Trial, judge
from ...losses import SteeringLoss
from ...pictures import check_finite, to_image
from ...report.settled import settled
from ...report.viz import VERDICT_COLOURS, SheetRow, contact_sheet
from ...schedule import SteeringSchedule
from ...steering import Steering
from .generation import generate
from .pipelines import kind_of
from .sampling import layers_of
from .text import ground_prompt

_WAYS = ("unsteered", "steered")
_LIBRARIES = ("torch", "diffusers", "transformers")
#: Of a picture that nobody judged.
_GREY = (128, 128, 128)
#: What a map may sum to beside 1, by rounding.
_ROUNDING = 1e-3
#: A row of the report: what, and what is told of it.
Row = tuple[str, str]


@dataclass(frozen=True)
class Sampling:
    """How the pictures are drawn: see ``generate``."""

    seed: int
    steps: int
    guidance_scale: float
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Tried:
    """A prompt, drawn without steering and with it.

    Attributes:
        pictures: (3, H, W) in [0, 1].
        seconds: that each took.
        steering: with what it saw.
        trials: the verdicts, if anyone looked.
    """

    prompt: ScenePrompt
    pictures: tuple[Tensor, Tensor]
    seconds: tuple[float, float]
    steering: Steering
    trials: tuple[Trial, Trial] | None


def draw_both_ways(
    pipeline: DiffusionPipeline,
    prompts: Sequence[ScenePrompt],
    sampling: Sampling,
    loss: SteeringLoss,
    schedule: SteeringSchedule,
    detector: ObjectDetector | None,
) -> Iterator[Tried]:
    """Draw each prompt unsteered and steered, and look at the pictures.

    Args:
        detector: none where nobody looks.

    Raises:
        ValueError: pictures came out with values that are no numbers. See ``generate`` and ``ObjectDetector``.
    """
    for number, prompt in enumerate(prompts):
        steering = Steering(ground_prompt(pipeline, prompt.text, prompt.scene), loss, schedule)
        if not number:  # the first call of all is slower than the others
            _draw(pipeline, prompt, sampling, None, steps=1)
        (before, seconds_before), (after, seconds_after) = (
            _draw(pipeline, prompt, sampling, way, sampling.steps) for way in (None, steering)
        )
        trials = None
        if detector is not None:
            found = (detector.find(to_image(picture), prompt.objects) for picture in (before, after))
            first, second = (judge(prompt.relations, one) for one in found)
            trials = first, second
        yield Tried(prompt, (before, after), (seconds_before, seconds_after), steering, trials)


def _draw(
    pipeline: DiffusionPipeline, prompt: ScenePrompt, sampling: Sampling, steering: Steering | None, steps: int
) -> tuple[Tensor, float]:
    """A picture (3, H, W) in [0, 1], and how many seconds it took."""
    start = time.perf_counter()
    seeds, scale = [sampling.seed], sampling.guidance_scale
    drawn = generate(pipeline, prompt.text, seeds, steering, steps, scale, size=sampling.size)
    seconds = time.perf_counter() - start
    return check_finite(drawn)[0], seconds


def sheet_of(tried: Sequence[Tried]) -> Image:
    """The pictures of each prompt side by side, framed by their verdicts."""
    rows = []
    for one in tried:
        frames = [_GREY] * 2 if one.trials is None else [VERDICT_COLOURS[trial.verdict] for trial in one.trials]
        rows.append(SheetRow(one.prompt.text, torch.stack(one.pictures), frames))
    return contact_sheet(rows, f"left: {_WAYS[0]}; right: {_WAYS[1]}")


def report(pipeline: DiffusionPipeline, tried: Sequence[Tried], sampling: Sampling) -> Iterator[Row]:
    """What was tried and what came of it.

    Args:
        tried: one prompt or more, with the pipeline and this sampling.
    """
    yield from _machine(pipeline)
    yield "sampling", f"{sampling.steps} steps, {len(tried)} prompts, seed {sampling.seed}"
    yield from _read(pipeline, tried)
    if tried[0].steering.schedule.steered_steps(sampling.steps):
        yield from _steered(tried)
    else:
        yield "maps and losses", "none was read: by these options no step is steered"
    yield from _bound(tried, sampling.steps)
    yield from _cost(pipeline, tried)
    yield from _seen(tried)


def _machine(pipeline: DiffusionPipeline) -> Iterator[Row]:
    """Model, device and libraries."""
    kind = kind_of(pipeline)
    network = kind.network_of(pipeline)
    yield "model", f"{kind.name}: {type(pipeline).__name__}, {type(network).__name__}, {network.dtype}"
    on = torch.cuda.get_device_name(pipeline.device) if _on_card(pipeline) else f"the CPU, {platform.machine()}"
    yield "on", on
    yield "with", ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)


def _on_card(pipeline: DiffusionPipeline) -> bool:
    return pipeline.device.type == "cuda"


def _read(pipeline: DiffusionPipeline, tried: Sequence[Tried]) -> Iterator[Row]:
    """Layers, and tokens of the first prompts' objects."""
    yield "layers read", " ".join(tried[0].steering.for_network(layers_of(pipeline)).request.layers)
    yield "tokens", "; ".join(_tokens(one) for one in tried[:2])


def _tokens(one: Tried) -> str:
    scene = one.steering.scene
    return ", ".join(f"{name}: {len(tokens)}" for name, tokens in zip(scene.names, scene.tokens))


def _steered(tried: Sequence[Tried]) -> Iterator[Row]:
    """Maps, losses and moves of the steered steps, and where attention stood after them."""
    probes = [entry for one in tried for entry in one.steering.trace]
    off = [(entry.mean_map.sum(dim=(-2, -1)) - 1).abs().max() for entry in probes]
    finite = all(one.loss.isfinite().all() for one in probes)
    sound = bool(probes) and bool(torch.stack(off).max() < _ROUNDING) and finite
    moved = sum(bool((entry.gradient_norm > 0).any()) for entry in probes)
    state = "finite, each map sums to 1" if sound else "**not finite, or no map**"
    yield "maps and losses", f"{state}; {moved} moves"
    unsteered = [left_out for one in tried for left_out in one.steering.unsteered]
    yield "steps not steered", "none" if not unsteered else f"**{len(unsteered)}**: {unsteered[0]}"
    stood = [relation for one in tried for relation in settled(one.steering.scene, one.steering.trace)]
    stands = sum(bool(relation.stands.all()) for relation in stood)
    yield "attention stands as asked, at the last look", f"{stands} of {len(stood)} prompts"


def _bound(tried: Sequence[Tried], steps: int) -> Iterator[Row]:
    """In how many steps objects were bound to their regions, where that was asked for."""
    if bindings := [binding for one in tried if (binding := one.steering.binding(steps))]:
        asked, done = sum(binding.asked for binding in bindings), sum(len(binding.bound) for binding in bindings)
        unbound = [step for binding in bindings for step in binding.unbound]
        yield "steps with bound objects", f"{done} of {asked}" + (f"; **{unbound[0]}**" if unbound else "")


def _cost(pipeline: DiffusionPipeline, tried: Sequence[Tried]) -> Iterator[Row]:
    """Time, and memory of a card."""
    before, after = (sum(one.seconds[at] for one in tried) / len(tried) for at in range(len(_WAYS)))
    yield "time of a picture", f"{before:.2f} s unsteered, {after:.2f} s steered ({after / before:.2f} ×)"
    if _on_card(pipeline):
        yield "peak memory", f"{torch.cuda.max_memory_allocated(pipeline.device) / 2**30:.1f} GiB"


def _seen(tried: Sequence[Tried]) -> Iterator[Row]:
    """What a detector saw, if one looked."""
    judged = [one.trials for one in tried if one.trials is not None]
    for way, trials in zip(_WAYS, zip(*judged)):
        present, correct = sum(trial.present for trial in trials), sum(trial.correct for trial in trials)
        yield f"{way}, as a detector sees it", f"both objects in {present}, right in {correct} of {len(trials)}"
