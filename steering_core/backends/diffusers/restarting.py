"""Restarts in calls of pipelines of the diffusers library.

A pipeline's loop cannot be turned back. So a call is left at the look where a picture is to begin again, and so are
the calls that try other noise, of these pictures alone. What the network gave in all of them is kept, and a last call
is given it again step by step, without running the network, as far as the look: from there it goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
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
        look: its step; none where no picture may begin again.
    """

    outputs: list[Any] = field(default_factory=list)
    moves: list[Tensor | None] = field(default_factory=list)
    look: int | None = None

    def clear(self) -> None:
        """A new call begins."""
        self.outputs.clear()
        self.moves.clear()
        self.look = None


class _RecordedRun(SteeredRun):
    """Keeps what passes before the look, and leaves the call there.

    Args:
        passed: takes it up.
        leaves: whether the call is left at a look, by its step.
    """

    def __init__(self, *args: Any, passed: _Passed, leaves: Callable[[int], bool]) -> None:
        self._passed, self._leaves = passed, leaves
        super().__init__(*args)

    def _begin(self) -> None:
        super()._begin()
        self._passed.clear()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """See ``SteeredRun``."""
        output = super().forward(*args, **kwargs)
        if self._passed.look is not None and self._number < self._passed.look:
            self._passed.outputs.append(output)
        return output

    def _lay_window(self) -> None:
        super()._lay_window()
        self._passed.look = self._steering.schedule.look_before_restart(self._steps())

    def _look(self, given: dict[str, Any]) -> None:
        super()._look(given)
        look = self._passed.look
        if look is None or self._number > look:
            return
        self._passed.moves.append(self._move)
        if self._number == look and self._leaves(look):
            raise _LeftAtLook


class _ResumedRun(SteeredRun):
    """Goes on from what has passed; the steering's trace does too."""

    def __init__(self, *args: Any, passed: _Passed) -> None:
        self._passed = passed
        super().__init__(*args)

    def _begin(self) -> None:
        super()._begin()
        self._outputs: deque[Any] = deque()

    def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
        """See ``SteeredRun``."""
        self._set_timesteps(*args, **kwargs)
        self._begin()
        self._outputs.extend(self._passed.outputs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """See ``SteeredRun``."""
        if self._number == 0:
            self._lay_window()
        if not self._outputs:
            return super().forward(*args, **kwargs)
        self._move = self._passed.moves[self._number]
        return self._outputs.popleft()

    def _look(self, given: dict[str, Any]) -> None:
        if self._number < len(self._passed.moves):
            self._move = self._passed.moves[self._number]
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

    def recorded(
        steering: Steering, seeds: Sequence[int], leaves: Callable[[int], bool]
    ) -> tuple[_Passed, Tensor | None]:
        """What passed before the look, and what the call gave if it was not left."""
        passed = _Passed()
        with steered_by(pipeline, steering, partial(_RecordedRun, passed=passed, leaves=leaves)):
            try:
                return passed, call(seeds)
            except _LeftAtLook:
                pipeline.maybe_free_model_hooks()
                return passed, None

    def attempt(again: Steering, images: Sequence[int], number: int) -> list[_Attempt]:
        others = [derived_seed(seeds[image], number) for image in images]
        passed, _ = recorded(again, others, lambda step: True)
        return [_Attempt(passed, place, number) for place in range(len(images))]

    first, result = recorded(steering, seeds, lambda step: is_crowded(steering, step))
    kept = begin_again(steering, first.look, len(seeds), attempt)
    if result is not None:
        return result
    passed = _with_attempts(first, kept, len(seeds))
    with steered_by(pipeline, steering, partial(_ResumedRun, passed=passed)):
        numbers = {image: attempt.number for image, attempt in kept.items()}
        return call([derived_seed(seed, numbers[i]) if i in numbers else seed for i, seed in enumerate(seeds)])


def _with_attempts(passed: _Passed, kept: Mapping[int, _Attempt], pictures: int) -> _Passed:
    """What passed, with these pictures as in their attempts."""
    for image, attempt in kept.items():
        outputs = zip(passed.outputs, attempt.passed.outputs, strict=True)
        moves = zip(passed.moves, attempt.passed.moves, strict=True)
        passed = replace(
            passed,
            outputs=[_with_picture(ours, theirs, image, attempt.place, pictures) for ours, theirs in outputs],
            moves=[_moved_as(ours, theirs, image, attempt.place, pictures) for ours, theirs in moves],
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
