"""Restarts in calls of pipelines of the diffusers library.

A pipeline's loop cannot be turned back. So a call is left at the look where a picture is to begin again, and so are
the calls that try other noise, of these pictures alone. What the network gave in all of them is kept, and a last call
is given it again step by step, without running the network, as far as the look: from there it goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from ...restarts import begin_again, derived_seed, is_crowded
from ...steering import Steering
from .sampling import SteeredRun, steered_by


class _LeftAtLook(Exception):
    """Raised inside a call of a pipeline, to leave it at the step of the look."""


@dataclass
class _Passed:
    """What a run did before the look.

    Attributes:
        outputs: of the network's calls, in order.
        moves: of each step and, last, of that of the look, (batch, …) as the network is given the latent.
    """

    outputs: list[Any] = field(default_factory=list)
    moves: list[Tensor | None] = field(default_factory=list)


class _RecordedRun(SteeredRun):
    """Keeps what passes before the look, and leaves the call there if ``leaves`` says so of the step."""

    leaves: Callable[[int], bool]

    def _begin(self) -> None:
        super()._begin()
        self.look: int | None = None
        self.passed = _Passed()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """See ``SteeredRun``."""
        output = super().forward(*args, **kwargs)
        if self.look is not None and self._number < self.look:
            self.passed.outputs.append(output)
        return output

    def _lay_window(self) -> None:
        super()._lay_window()
        self.look = self._steering.schedule.look_before_restart(self._steps())

    def _look(self, given: dict[str, Any]) -> None:
        super()._look(given)
        if self.look is None or self._number > self.look:
            return
        self.passed.moves.append(self._move)
        if self._number == self.look and self.leaves(self.look):
            raise _LeftAtLook


class _ResumedRun(SteeredRun):
    """Goes on from what has passed; the steering's trace does too."""

    passed: _Passed

    def _begin(self) -> None:
        super()._begin()
        self._outputs: deque[Any] = deque()

    def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
        """See ``SteeredRun``."""
        self._set_timesteps(*args, **kwargs)
        self._begin()
        self._outputs.extend(self.passed.outputs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """See ``SteeredRun``."""
        if self._number == 0:
            self._lay_window()
        if not self._outputs:
            return super().forward(*args, **kwargs)
        self._move = self.passed.moves[self._number]
        return self._outputs.popleft()

    def _look(self, given: dict[str, Any]) -> None:
        if self._number < len(self.passed.moves):
            self._move = self.passed.moves[self._number]
        else:
            super()._look(given)


@dataclass(frozen=True)
class _Attempt:
    """One picture of a call that tried other noise: what passed, where in that batch, and of which attempt."""

    passed: _Passed
    place: int
    number: int


def called_with_restarts(
    pipeline: DiffusionPipeline, steering: Steering, call: Callable[[Sequence[int]], Tensor], seeds: Sequence[int]
) -> Tensor:
    """What a steered call gives, where pictures may begin again.

    Args:
        call: calls the pipeline for a picture of each seed.
        seeds: of the pictures.

    Raises:
        See ``sampling.steered``.
    """

    def recorded(steering: Steering, seeds: Sequence[int], leaves: Callable[[int], bool]) -> tuple[_RecordedRun, Any]:
        """The run, and what the call gave if it was not left."""
        with steered_by(pipeline, steering, _RecordedRun) as run:
            assert isinstance(run, _RecordedRun)
            run.leaves = leaves
            try:
                return run, call(seeds)
            except _LeftAtLook:
                pipeline.maybe_free_model_hooks()
                return run, None

    def attempt(again: Steering, images: Sequence[int], number: int) -> list[_Attempt]:
        others = [derived_seed(seeds[image], number) for image in images]
        run, _ = recorded(again, others, lambda step: True)
        return [_Attempt(run.passed, place, number) for place in range(len(images))]

    first, result = recorded(steering, seeds, lambda step: is_crowded(steering, step))
    kept = begin_again(steering, first.look, len(seeds), attempt)
    if result is not None:
        return result
    with steered_by(pipeline, steering, _ResumedRun) as run:
        assert isinstance(run, _ResumedRun)
        run.passed = _with_attempts(first.passed, kept, len(seeds))
        numbers = {image: attempt.number for image, attempt in kept.items()}
        return call([derived_seed(seed, numbers[i]) if i in numbers else seed for i, seed in enumerate(seeds)])


def _with_attempts(passed: _Passed, kept: Mapping[int, _Attempt], pictures: int) -> _Passed:
    """What passed, with these pictures as in their attempts."""
    for image, attempt in kept.items():
        outputs = zip(passed.outputs, attempt.passed.outputs, strict=True)
        moves = zip(passed.moves, attempt.passed.moves, strict=True)
        passed = _Passed(
            [_with_picture(ours, theirs, image, attempt.place, pictures) for ours, theirs in outputs],
            [_moved_as(ours, theirs, image, attempt.place, pictures) for ours, theirs in moves],
        )
    return passed


def _moved_as(ours: Tensor | None, theirs: Tensor | None, image: int, place: int, pictures: int) -> Tensor | None:
    """A batch's move with one picture's from another batch; none is one of zero."""
    if ours is None and theirs is None:
        return None
    if ours is None:
        assert theirs is not None
        ours = theirs.new_zeros(pictures, *theirs.shape[1:])
    if theirs is None:
        theirs = torch.zeros_like(ours[:1]).expand(place + 1, *ours.shape[1:])
    moved = ours.clone()
    moved[image] = theirs[place]
    return moved


def _with_picture(ours: Any, theirs: Any, image: int, place: int, pictures: int) -> Any:
    """What a network gave for a batch, with one picture's part from what it gave for another.

    Either holds each picture once, or once for each part of a guided batch, one part after the other.

    Args:
        place: the picture's in the other batch.
        pictures: of the batch.
    """
    if isinstance(ours, tuple):
        return tuple(_with_picture(a, b, image, place, pictures) for a, b in zip(ours, theirs, strict=True))
    if isinstance(ours, dict):
        return type(ours)(**{key: _with_picture(ours[key], theirs[key], image, place, pictures) for key in ours})
    mixed = ours.clone() if isinstance(ours, Tensor) else list(ours)
    parts = len(ours) // pictures
    others = len(theirs) // parts
    for part in range(parts):
        mixed[part * pictures + image] = theirs[part * others + place]
    return mixed
