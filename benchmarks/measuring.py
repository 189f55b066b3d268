"""What the benchmarks share: ways of sampling, drawn prompt by prompt in several processes, as table rows.

Every prompt is drawn in all ways, one after the other and with one thread, so that ``time_ratio``
(time of a way over that of the first one) compares like with like.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers import DiffusionPipeline
from tqdm import tqdm

from benchmarks.kept import KeptTallies
from benchmarks.logits import scaled_logits
from steering_core.backends.diffusers import check_steering, ground_prompt, load_pipeline, pipeline_hash
from steering_core.cli.options import guidance_scale
from steering_core.evaluation.suites import ScenePrompt
from steering_core.evaluation.visor import interval, share_interval
from steering_core.files import sha256_of
from steering_core.losses import SteeringLoss
from steering_core.miniature.detector import GlyphDetector
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.miniature.prompts import unseen_pair_prompts
from steering_core.miniature.score import SEEDS, STEPS, MakeSteering, Tally, draw, unsteered
from steering_core.schedule import SteeringSchedule
from steering_core.steering import Steering

#: Prompts of a whole table of one relation.
MEASURED_PROMPTS = 200
#: Of all prompts.
PROMPT_SEED = 0


class MeasuredWay(Protocol):
    """What ``measured`` asks of a way to come by pictures."""

    @property
    def description(self) -> dict[str, Any]:
        """All that it depends on, as plain values."""

    def tally(self, prompt: ScenePrompt, sampling: Sampling) -> Tally:
        """One prompt's verdicts and times, in the process that draws."""


@dataclass(frozen=True)
class Way:
    """A way of sampling with steering or without.

    Attributes:
        loss: its name in the tables.
        make_loss: makes it, in the process that draws; none for unsteered sampling.
        schedule: of the steering.
        logit_scale: see ``scaled_logits``.
    """

    loss: str
    make_loss: partial[SteeringLoss] | None = None
    schedule: SteeringSchedule = field(default_factory=SteeringSchedule)
    logit_scale: float = 1.0

    @property
    def update(self) -> str:
        """Its update rule, for the tables."""
        return self.schedule.update if self.make_loss else "none"

    @property
    def make_steering(self) -> MakeSteering:
        """For ``draw``."""
        make_loss = self.make_loss
        return unsteered if make_loss is None else lambda scene: Steering(scene, make_loss(), self.schedule)

    @property
    def description(self) -> dict[str, Any]:
        """All that it depends on, as plain values; of a classifier, a hash of its file."""
        made_from = [self.make_loss.args, self.make_loss.keywords] if self.make_loss else []
        plain = json.loads(json.dumps(made_from, default=sha256_of))
        told = {"loss": self.loss, "made_from": plain, "schedule": asdict(self.schedule)}
        return {**told, "logit_scale": self.logit_scale}

    def tally(self, prompt: ScenePrompt, sampling: Sampling) -> Tally:
        """See ``MeasuredWay``."""
        tally, drawing = Tally(), pipeline(sampling.model)
        steps, scale = sampling.steps, sampling.guidance_scale
        batches = [(seed,) for seed in SEEDS] if sampling.alone else [SEEDS]
        with scaled_logits(self.logit_scale):
            for seeds in batches:
                draw(drawing, detector(), prompt, self.make_steering, tally, seeds, steps, scale)
        tally.trials = [[trial for trials in tally.trials for trial in trials]]
        return tally


#: What all others are held against.
UNSTEERED = Way("none")


@dataclass(frozen=True)
class Sampling:
    """How a miniature draws.

    Attributes:
        model: by its folder.
        steps: of the sampling.
        guidance_scale: the one that suits the miniature when not given.
        alone: each picture is drawn by itself, not all of a prompt in one batch.
    """

    model: str | Path = MINIATURE_DIR
    steps: int = STEPS
    guidance_scale: float | None = None
    alone: bool = False

    @property
    def description(self) -> dict[str, Any]:
        """All that a picture depends on, as plain values; of the model, a hash of its weights."""
        return {**asdict(self), "model": _hash_of(self.model)}


#: The first miniature, as it draws best.
SHIPPED_SAMPLING = Sampling()


def add_guidance_option(parser: argparse.ArgumentParser) -> None:
    """``--guidance SCALE``."""
    parser.add_argument(
        "--guidance", type=guidance_scale, metavar="SCALE", help="of all ways (default: the one that suits the model)"
    )


@cache
def _hash_of(model: str | Path) -> str:
    """Of a miniature's weights, once in a process: each table asks for it."""
    return pipeline_hash(load_pipeline(model, "cpu"))


@contextmanager
def drawing_processes(jobs: int | None) -> Iterator[Executor]:
    """So many processes with one thread each; one a core if not said."""
    with ProcessPoolExecutor(
        jobs or os.cpu_count(), mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        yield pool


def check_ways(ways: Iterable[Way], prompt: ScenePrompt, pipeline: DiffusionPipeline) -> None:
    """Try ways on a miniature, without drawing anything.

    Raises:
        ValueError: the miniature cannot be steered, or a way's loss cannot be made, cannot read it or cannot score
            the prompt's relations.
        OSError: a file cannot be read.
    """
    scene = ground_prompt(pipeline, prompt.text)
    for way in ways:
        steering = way.make_steering(scene)
        if steering is not None:
            check_steering(pipeline, steering)


def measured(
    prompts: Sequence[ScenePrompt],
    ways: Sequence[MeasuredWay],
    pool: Executor,
    sampling: Sampling = SHIPPED_SAMPLING,
    kept: KeptTallies | None = None,
) -> Iterator[list[Tally]]:
    """For each prompt a tally for each way, the prompts shared among processes.

    The processes start at once, so that several calls can be made before the first one's tallies are asked for.

    Args:
        kept: where tallies are looked for before they are measured, and kept afterwards.
    """
    measure = partial(_measure, ways=ways, sampling=sampling)
    if kept is None:
        return _shown(pool.map(measure, prompts), len(prompts))
    common = {"ways": [way.description for way in ways], "sampling": sampling.description}
    known = [kept.get({"prompt": prompt.text, **common}) for prompt in prompts]
    unknown = [prompt for prompt, tallies in zip(prompts, known) if tallies is None]

    def new() -> Iterator[list[Tally]]:
        for prompt, tallies in zip(unknown, measuring):
            kept.keep({"prompt": prompt.text, **common}, tallies)
            yield tallies

    measuring, newly = pool.map(measure, unknown), new()
    return _shown((next(newly) if tallies is None else tallies for tallies in known), len(prompts))


def _shown(tallies: Iterator[list[Tally]], prompts: int) -> Iterator[list[Tally]]:
    """The tallies, with a bar from when the first is asked for."""
    yield from tqdm(tallies, total=prompts, unit="prompt", file=sys.stderr)


def rows(ways: Sequence[Way], measured: Iterable[Sequence[Tally]]) -> list[dict[str, Any]]:
    """A row for each way, times over those of the first."""
    tallies = [together(tallies) for tallies in zip(*measured)]
    return [_as_row(way, tally, tallies[0]) for way, tally in zip(ways, tallies)]


def together(tallies: Sequence[Tally]) -> Tally:
    """One tally of the prompts of several."""
    return Tally(
        [trials for tally in tallies for trials in tally.trials],
        sum(tally.seconds for tally in tallies),
        sum(tally.gradient_passes for tally in tallies),
        sum(tally.looks for tally in tallies),
    )


def _measure(prompt: ScenePrompt, ways: Sequence[MeasuredWay], sampling: Sampling) -> list[Tally]:
    """One prompt, by each way, one after the other."""
    return [way.tally(prompt, sampling) for way in ways]


@cache
def pipeline(model: str | Path) -> DiffusionPipeline:
    """A miniature, once in a process."""
    pipeline = load_pipeline(model, "cpu")
    # The first call is slower than all others: it would count for the first way that is measured.
    draw(pipeline, detector(), unseen_pair_prompts(1, PROMPT_SEED)[0], unsteered, Tally(), steps=2)
    return pipeline


@cache
def detector() -> GlyphDetector:
    """The one that judges the miniature's pictures, once in a process."""
    return GlyphDetector()


def _as_row(way: Way, tally: Tally, baseline: Tally) -> dict[str, Any]:
    """The scores of a way, what it took, and what it is called."""
    told = {"loss": way.loss, "update": way.update, **scores_of(tally, baseline)}
    per_picture = {name: getattr(tally, name) / told["images"] for name in _PER_PICTURE}
    return {**told, **per_picture}


def scores_of(tally: Tally, baseline: Tally) -> dict[str, Any]:
    """Scores as fractions with 95 % intervals; ``visor_cond`` is none where no picture shows all objects.

    Args:
        baseline: of the way that times are told over.
    """
    scores = tally.scores
    images = [len(row) for row in tally.trials]
    present = [sum(trial.present for trial in row) for row in tally.trials]
    correct = [sum(trial.correct for trial in row) for row in tally.trials]
    row = {
        "images": scores.images,
        "oa": scores.oa,
        "oa_interval": share_interval(present, images),
        "visor_cond": scores.visor_cond if any(present) else None,
        "visor_cond_interval": share_interval(correct, present),
        "visor_uncond": scores.visor_uncond,
        "visor_uncond_interval": share_interval(correct, images),
        "time_ratio": tally.seconds / baseline.seconds,
    }
    for n, share in enumerate(scores.visor_n, 1):
        row |= {f"visor_{n}": share, f"visor_{n}_interval": interval(share, len(tally.trials))}
    return row


#: Columns of how often something was done for a picture.
_PER_PICTURE = ("looks", "gradient_passes")
#: Titles of the columns that a table can have.
_TITLES = {
    "oa": "OA",
    "visor_cond": "VISOR-cond",
    "visor_uncond": "VISOR-uncond",
    **{f"visor_{n}": f"VISOR-{n}" for n in range(1, len(SEEDS) + 1)},
    "gradient_passes": "gradient passes",
    "looks": "looks",
    "time_ratio": "time",
}


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Markdown: shares in percent with 95 % intervals in brackets, gradient passes per picture.

    Args:
        columns: keys of the rows, beside loss, update and number of images.
    """
    head = ["loss", "update", "images", *(_TITLES[column] for column in columns)]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for row in rows:
        lines.append(
            " | ".join([row["loss"], row["update"], str(row["images"]), *(_cell(row, column) for column in columns)])
        )
    return "\n".join(f"| {line} |" for line in lines)


def _cell(row: dict[str, Any], column: str) -> str:
    """Such as "71.5% (68% to 75%)", "7.0" or "1.18 ×"."""
    if column == "time_ratio":
        return f"{row[column]:.2f} ×"
    if column in _PER_PICTURE:
        return f"{row[column]:.1f}"
    return share_cell(row, column)


def share_cell(row: dict[str, Any], column: str) -> str:
    """Of one of ``scores_of``, such as "71.5% (68% to 75%)"."""
    value, (low, high) = row[column], row[f"{column}_interval"]
    return "none" if value is None else f"{value:.1%} ({low:.0%} to {high:.0%})"
