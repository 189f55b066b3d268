"""What the benchmarks share: suites drawn in several ways on a miniature, looked at, kept and scored by the evaluation.

Every prompt is drawn in all ways, one after the other and with one thread, the prompts shared among processes, so that
``time_ratio`` (time of a way over that of the first one) compares like with like. Times are the processor's, so that
what runs beside it counts for nothing (on a card those of the wall). Pictures and what was found in them are kept as
``steer evaluate`` keeps them.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from diffusers import DiffusionPipeline
from tqdm import tqdm

from steering_core.backends.diffusers import load_pipeline
from steering_core.backends.diffusers.arms import sampling_of
from steering_core.evaluation.arms import Arm
from steering_core.evaluation.detecting import detect_objects
from steering_core.evaluation.drawing import draw_pictures
from steering_core.evaluation.figures import figures
from steering_core.evaluation.folder import EvaluationFolder
from steering_core.evaluation.results import prompt_counts
from steering_core.evaluation.rules import RULES, VISOR
from steering_core.evaluation.statistics import Estimate
from steering_core.evaluation.suites import ScenePrompt, Suite
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.miniature.look import MiniatureDetector, look_at
from steering_core.miniature.prompts import chained_prompts, unseen_pair_prompts
from steering_core.miniature.score import SEEDS, STEPS, guidance_scale_of, sampled
from steering_core.miniature.world import IMAGE_SIZE
from steering_core.relations.relation import CARDINAL_RELATIONS, Relation

#: Prompts of a whole table of one relation.
MEASURED_PROMPTS = 200
#: Of all prompts.
PROMPT_SEED = 0
#: From a seed to the one that is tried in its place, or beside it.
SEED_STRIDE = 1000
#: Prompts of pairs that training never shows, for each relation: all that there are.
_PAIRS_OF_RELATION = 96
#: Prompts of a suite of chains, and as many again that may be told twice.
_CHAINED = 500


def pairs_suite(relations: Sequence[Relation] = CARDINAL_RELATIONS, seeds: Sequence[int] = SEEDS) -> Suite:
    """All prompts of two objects that training never shows together, the relations equally often."""
    prompts = unseen_pair_prompts(_PAIRS_OF_RELATION * len(relations), PROMPT_SEED, relations)
    name = "unseen_pairs" if relations == CARDINAL_RELATIONS else "_".join(relation.value for relation in relations)
    return Suite(name, tuple(prompts), tuple(seeds))


def chains_suite(chains: Sequence[int]) -> Suite:
    """Prompts of several relations that differ; see ``chained_prompts``."""
    prompts = dict.fromkeys(chained_prompts(2 * _CHAINED, chains, PROMPT_SEED))
    return Suite(f"chains_of_{'_'.join(map(str, chains))}", tuple(islice(prompts, _CHAINED)), SEEDS)


@dataclass(frozen=True)
class Sampling:
    """How a miniature draws.

    Attributes:
        model: by its folder.
        steps: of the sampling.
        guidance_scale: the one that suits the miniature when not given.
        alone: each picture is drawn by itself, not all of a prompt in one batch.
        device: as PyTorch names it.
    """

    model: str | Path = MINIATURE_DIR
    steps: int = STEPS
    guidance_scale: float | None = None
    alone: bool = False
    device: str = "cpu"

    @property
    def pipeline(self) -> DiffusionPipeline:
        """The model's, once in a process."""
        return pipeline(self.model, self.device)

    @property
    def settings(self) -> dict[str, Any]:
        """For ``sampling_of``."""
        return miniature_settings(self.pipeline, self.steps, self.guidance_scale)

    @property
    def description(self) -> dict[str, Any]:
        """All that a picture depends on, as plain values."""
        settings = sampling_of(self.pipeline, self.settings)
        return {**settings, "alone": True} if self.alone else settings

    @property
    def name(self) -> str:
        """Of a folder."""
        name = f"{Path(self.model).name}_{self.steps}_steps_guidance_{self.settings['guidance_scale']:g}"
        name = f"{name}_alone" if self.alone else name
        return name if self.device == "cpu" else f"{name}_on_{torch.device(self.device).type}"


#: The first miniature, as it draws best.
SHIPPED_SAMPLING = Sampling()


def miniature_settings(
    model: DiffusionPipeline, steps: int = STEPS, guidance_scale: float | None = None
) -> dict[str, Any]:
    """How a miniature draws by itself, for ``sampling_of``.

    Args:
        guidance_scale: the one that suits it when not given.
    """
    scale = guidance_scale_of(model) if guidance_scale is None else guidance_scale
    return {"steps": steps, "guidance_scale": scale, "size": (IMAGE_SIZE, IMAGE_SIZE)}


@cache
def pipeline(model: str | Path, device: str) -> DiffusionPipeline:
    """A miniature, once in a process."""
    pipeline = load_pipeline(model, device)
    # The first call is slower than all others, of the model and of the detector: it would count for the first way.
    look_at(sampled(pipeline, unseen_pair_prompts(1, PROMPT_SEED)[0].text, SEEDS, steps=2))
    return pipeline


class MeasuredWay(Protocol):
    """What a measurement asks of a way to come by pictures."""

    @property
    def name(self) -> str:
        """Of its arm."""

    def arm(self, sampling: Sampling) -> Arm:
        """As an arm of an evaluation, in the process that draws."""


W = TypeVar("W", bound=MeasuredWay)


@dataclass(frozen=True)
class Measurement(Generic[W]):
    """Some prompts of a suite, drawn in some ways.

    Attributes:
        folder: of pictures and what was found in them.
        ways: all others are held against the first.
        sampling: of all ways.
        numbers: of the prompts, from 0.
    """

    folder: EvaluationFolder
    ways: Sequence[W]
    sampling: Sampling
    numbers: range

    @classmethod
    def of(
        cls, out: Path, suite: Suite, numbers: range, ways: Sequence[W], sampling: Sampling = SHIPPED_SAMPLING
    ) -> Measurement[W]:
        """In a folder of its own within ``out``, which may hold others.

        Raises:
            ValueError: the suite has not so many prompts, or there is one of other ways by these names.
            OSError: the folder cannot be written.
        """
        if numbers.stop > len(suite.prompts):
            raise ValueError(
                f"There are {len(suite.prompts)} prompts of {suite.name.replace('_', ' ')}; {numbers.stop} were asked "
                "for."
            )
        folder = EvaluationFolder(out / sampling.name / suite.name, suite, sampling.description)
        folder.claim([way.arm(sampling) for way in ways], MiniatureDetector())
        return cls(folder, ways, sampling, numbers)

    @property
    def prompts(self) -> Sequence[ScenePrompt]:
        """Those that are drawn."""
        return self.folder.suite.prompts[self.numbers.start : self.numbers.stop]

    def start(self, pool: Executor) -> Iterator[None]:
        """Begin to draw and look, where that was not done, and yield at each prompt that is."""
        wanted = [at for at in self.numbers if not all(self.folder.is_looked_at(way.name, at) for way in self.ways)]
        done = pool.map(partial(_draw, self.folder, self.ways, self.sampling), wanted)
        return _shown(done, len(wanted), len(self.numbers))

    def scores(self, numbers: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Of each way by VISOR's rule, as fractions with 95 % intervals; none where no picture could tell.

        Args:
            numbers: of some of the prompts; all that are drawn when not given.
        """
        some = self.numbers if numbers is None else numbers
        first = self.folder.cost(self.ways[0].name, some)
        return [self._scores_of(way.name, some, first.seconds) for way in self.ways]

    def _scores_of(self, arm: str, numbers: Sequence[int], seconds: float) -> dict[str, Any]:
        """Of an arm.

        Args:
            seconds: that times are told over.
        """
        scores = figures([prompt_counts(self.folder, arm, at, RULES[VISOR]) for at in numbers])
        named = {"oa": scores.oa, "visor_cond": scores.visor_cond, "visor_uncond": scores.visor_uncond}
        named |= {f"visor_{n}": one for n, one in enumerate(scores.visor_n, 1)}
        row: dict[str, Any] = {"images": scores.pictures}
        for name, one in named.items():
            row |= estimate_as_row(name, one)
        cost = self.folder.cost(arm, numbers)
        per_picture = {"looks": cost.looks, "gradient_passes": cost.gradient_passes}
        return {**row, "time_ratio": cost.seconds / seconds, **per_picture}


def draw_all(measurements: Iterable[Measurement], pool: Executor) -> None:
    """Draw and look, all begun before the first is waited for: no process idles at a table's end."""
    for drawing in [measurement.start(pool) for measurement in measurements]:
        for _ in drawing:
            pass


def _shown(done: Iterator[None], count: int, of: int) -> Iterator[None]:
    """The last so many of all prompts, with a bar from when the first is asked for."""
    yield from tqdm(done, total=of, initial=of - count, unit="prompt", file=sys.stderr)


def estimate_as_row(name: str, one: Estimate) -> dict[str, Any]:
    """A figure and its 95 % interval, as JSON has them."""
    if math.isnan(one.value):
        return {name: None, f"{name}_interval": None}
    return {name: one.value, f"{name}_interval": (one.low, one.high)}


def draw_and_look(folder: EvaluationFolder, arm: Arm, number: int, batch: int | None = None) -> None:
    """Draw what is not there of a prompt, and let the miniatures' detector look.

    Args:
        batch: pictures at a time; all when not given.
    """
    for _ in draw_pictures(folder, arm, [number], batch or len(folder.suite.seeds)):
        pass
    for _ in detect_objects(folder, arm.name, MiniatureDetector(), [number]):
        pass


def _draw(folder: EvaluationFolder, ways: Sequence[MeasuredWay], sampling: Sampling, number: int) -> None:
    """One prompt, by each way, one after the other."""
    for way in ways:
        draw_and_look(folder, way.arm(sampling), number, 1 if sampling.alone else None)


@contextmanager
def drawing_processes(jobs: int | None, device: str = "cpu") -> Iterator[Executor]:
    """So many processes with one thread each; if not said, one a core, and one for a card, which they would share."""
    count = jobs or (os.cpu_count() if device == "cpu" else 1)
    with ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        yield pool
