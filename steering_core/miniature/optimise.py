"""The training loop of all of the miniatures' networks: checkpoints, averaged weights, sample sheets."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..files.whole import written_whole
from ..out_of_memory import is_out_of_memory
from ..process_wide import differentiable_attention
from ..wording import one_line
from .muon import Muon

_ADAMW: dict[str, Any] = {"betas": (0.9, 0.99), "weight_decay": 0.01, "fused": True}
_EMA_DECAY = 0.999
#: Between two checkpoints with a sample sheet: what a run that is stopped can lose.
_CHECKPOINT_SECONDS = 600
#: Of what a training keeps in its work folder, by ``written_whole``.
WRITER = "training"
_MOST_PREPARERS = 15
#: Steps between two looks at the loss, for which a card's work has to be waited for.
_LOSS_EVERY = 10
_WARMUP = 0.05
#: Steps of the warm-up, and share of all steps over which the rate falls, of a ``plateau``.
_PLATEAU_WARMUP, _PLATEAU_FALL = 200, 0.2


def one_cycle(optimizer: Optimizer, rate: float, steps: int) -> LRScheduler:
    """Up to the rate and down again along a cosine."""
    return OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=_WARMUP)


def plateau(optimizer: Optimizer, rate: float, steps: int) -> LRScheduler:
    """The rate throughout, after a warm-up and before a straight fall to nothing at the end.

    Until it falls, nothing depends on how many steps there are, so a run can be made longer or shorter on the way.
    """
    fall = max(1, round(_PLATEAU_FALL * steps))
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / _PLATEAU_WARMUP, max(0.0, (steps - step) / fall)))


def adamw(modules: nn.Module, rate: float) -> Optimizer:
    """AdamW on every weight."""
    return torch.optim.AdamW(modules.parameters(), lr=rate, **_ADAMW)


def muon(modules: nn.Module, rate: float) -> Optimizer:
    """Muon on the matrices of the transformers' blocks, but for those that modulate; AdamW on the rest."""
    hidden: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in modules.named_parameters():
        is_hidden = weight.dim() == 2 and "blocks." in name and "norm" not in name
        (hidden if is_hidden else others).append(weight)
    return Muon(hidden, others, rate, **_ADAMW)


def preparers(device: str) -> int:
    """Processes that prepare pictures for a device: none beside a CPU that trains, else one a core but the first."""
    return 0 if torch.device(device).type == "cpu" else min(_MOST_PREPARERS, max(1, (os.cpu_count() or 1) - 1))


@dataclass(frozen=True)
class Course:
    """How weights learn.

    Attributes:
        steps: of the optimizer.
        rate: of learning, the highest.
        schedule: of the rate.
        make_optimizer: of the modules' weights, at a rate.
    """

    steps: int
    rate: float
    schedule: Callable[[Optimizer, float, int], LRScheduler] = one_cycle
    make_optimizer: Callable[[nn.Module, float], Optimizer] = adamw


class _Learner:
    """Modules on their course, with the average of their weights.

    Args:
        device: of the modules.
    """

    def __init__(self, modules: nn.ModuleDict, course: Course, device: str):
        self._modules, self._device, self._parameters = modules, device, list(modules.parameters())
        self._optimizer = course.make_optimizer(modules, course.rate)
        self._cycle = course.schedule(self._optimizer, course.rate, course.steps)
        self._average = EMAModel(self._parameters, decay=_EMA_DECAY, use_ema_warmup=True, power=0.75, foreach=True)
        self._average.to(device)

    def step(self, loss: Tensor) -> None:
        """Learn from a loss."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        self._cycle.step()
        self._average.step(self._parameters)

    def save(self, checkpoint: Path, step: int) -> None:
        """Write all that a stopped run goes on from.

        Raises:
            OSError: the file cannot be written.
        """
        state = {"step": step} | {name: part.state_dict() for name, part in self._parts()}
        with written_whole(checkpoint, WRITER) as partial, partial.open("wb") as file:
            torch.save(state, file)  # given a name instead of a file, it reports a full disk as an error of its own

    def load(self, checkpoint: Path) -> int:
        """Go on from a checkpoint, and say from which step.

        Raises:
            ValueError: it is damaged.
        """
        try:
            state = torch.load(checkpoint, map_location=self._device, weights_only=True)
            for name, part in self._parts():
                part.load_state_dict(state[name])
            step: int = state["step"]
        except Exception as error:  # a damaged pickle ends in whatever its bytes happen to ask for
            if is_out_of_memory(error):
                raise
            raise ValueError(
                f"{checkpoint} is damaged; remove it to start this stage again: {one_line(error)}"
            ) from error
        return step

    def _parts(self) -> tuple[tuple[str, Any], ...]:
        """What has a state, by the names that checkpoints have had so far."""
        return (
            ("modules", self._modules),
            ("optimizer", self._optimizer),
            ("cycle", self._cycle),
            ("average", self._average),
        )

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The modules as a sampler uses them, with the averaged weights, meanwhile."""
        self._average.store(self._parameters)
        self._average.copy_to(self._parameters)
        self._modules.eval()
        try:
            yield
        finally:
            self._modules.train()
            self._average.restore(self._parameters)

    def finish(self) -> None:
        """Leave the modules with the averaged weights."""
        self._average.copy_to(self._parameters)
        self._modules.eval()


def optimise(
    name: str,
    modules: nn.ModuleDict,
    batches: Dataset,
    loss_of: Callable[[Any], Tensor],
    course: Course,
    work_dir: Path,
    device: str,
    on_sheet: Callable[[int], None],
) -> None:
    """Training over one schedule of the learning rate, with checkpoints; the modules end with the averaged weights.

    Args:
        name: of the checkpoint in the work folder, from which a stopped run goes on.
        batches: what each step learns from, by its number; prepared beside a card by further processes.
        loss_of: loss of such a batch; what it draws from torch's global generator is seeded by the step.
        on_sheet: draws a sample sheet, at each checkpoint; called with the step, while the modules have the averaged
            weights.

    Raises:
        ValueError: the checkpoint is damaged.
        OSError: it cannot be written.
    """
    learner, checkpoint = _Learner(modules, course, device), work_dir / f"{name}.pt"
    first = learner.load(checkpoint) if checkpoint.exists() else 0
    modules.train()
    remaining: Iterable[int] = range(first, course.steps)
    workers = preparers(device) if remaining else 0
    loader = DataLoader(batches, batch_size=None, sampler=remaining, num_workers=workers, pin_memory=workers > 0)
    bar = tqdm(zip(remaining, loader), initial=first, total=course.steps, desc=name, mininterval=5)
    running, saved = None, time.monotonic()
    for step, batch in bar:
        torch.manual_seed((step + 1) * 1000003 + 7)
        with differentiable_attention():
            loss = loss_of(batch)
        learner.step(loss)
        done = step + 1
        if done % _LOSS_EVERY == 0 or done == course.steps:
            running = loss.item() if running is None else 0.9 * running + 0.1 * loss.item()
            bar.set_postfix(loss=f"{running:.4f}", refresh=False)
        if time.monotonic() - saved >= _CHECKPOINT_SECONDS or done == course.steps:
            learner.save(checkpoint, done)
            saved = time.monotonic()
            with learner.averaged():
                on_sheet(done)
    learner.finish()
