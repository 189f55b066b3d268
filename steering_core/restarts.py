"""Beginning again: pictures in which two objects crowd each other start from new noise.

After some steered steps the overlap of two objects' maps tells a little of which pictures will lack an object. So the
steps up to the last steered one are sampled again for these pictures alone, and of all attempts the one with the least
overlap goes on. On the miniatures that brought no gain with two objects and some with three (docs/measured.md). It is
off by default.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeVar

import torch
from torch import Tensor

from .report.outcomes import Restart, Restarts
from .report.trace import TraceEntry
from .steering import Steering
from .wording import fault

T = TypeVar("T")

#: Samples some pictures of the batch from new noise, up to the step of the look, whose move is made: of the steering
#: that is to take note, their positions in the batch, and the number of the attempt from 1. Gives for each of these
#: what the run is to go on from.
Attempt = Callable[[Steering, Sequence[int], int], Sequence[T]]


def is_crowded(steering: Steering, step: int) -> bool:
    """Whether some picture's objects overlap too much at a step that was looked at."""
    return bool(_crowded(_overlaps(steering.trace, step) or [], steering.schedule.restart_overlap))


def begin_again(
    steering: Steering, step: int | None, pictures: int, attempt: Attempt[T], apart: bool = True
) -> dict[int, T]:
    """Sample pictures again whose objects overlap too much at a step, until they do not or may no more.

    What is seen of the attempts that are kept takes its place in the steering's trace. An attempt that fails is told,
    and costs no picture.

    Args:
        steering: its trace holds the probe of that step.
        step: ``SteeringSchedule.look_before_restart`` where pictures may begin again.
        pictures: of the batch.
        apart: pictures can be sampled without the others of their batch; else all are, and the others thrown away.

    Returns:
        Of the pictures of which another attempt is kept, by their positions, what it gave.
    """
    if step is None:
        return _none_began(steering, pictures, "in the first step, the only one that is steered, nothing tells which")
    most, first = steering.schedule.restart_overlap, _overlaps(steering.trace, step)
    if first is None:
        return _none_began(steering, pictures, f"step {step + 1} was not looked at")
    tried = {image: [first[image]] for image in _crowded(first, most)}
    kept: dict[int, T] = {}
    failure = ""
    for number in range(1, steering.schedule.restarts + 1):
        crowded = [image for image, overlaps in tried.items() if min(overlaps) > most]
        if not crowded:
            break
        sampled = crowded if apart else list(range(pictures))
        try:
            results, overlaps, trace = _attempted(steering, step, sampled, number, attempt)
        except _AttemptFailed as error:  # the pictures go on as they are
            failure = str(error)
            break
        places = {image: sampled.index(image) for image in crowded}
        better = {image: place for image, place in places.items() if overlaps[place] < min(tried[image])}
        kept |= {image: results[place] for image, place in better.items()}
        for image, place in places.items():
            tried[image].append(overlaps[place])
        if better:
            steering.trace[:] = _with_images(steering.trace, trace, better)
    restarted = tuple(Restart(image, tuple(overlaps)) for image, overlaps in tried.items() if len(overlaps) > 1)
    steering.restarts.append(Restarts(pictures, restarted, failure))
    return kept


class _AttemptFailed(Exception):
    """Says of an attempt why nothing of it can be kept."""


def _attempted(
    steering: Steering, step: int, pictures: Sequence[int], number: int, attempt: Attempt[T]
) -> tuple[Sequence[T], Sequence[float], Sequence[TraceEntry]]:
    """Of each picture of an attempt what it gave and the overlap at the look, and the attempt's trace.

    Args:
        pictures: their positions in the run's batch.

    Raises:
        _AttemptFailed: it ended in an error, or some step of it could not be steered.
    """
    again = steering.for_another_attempt()
    try:
        results = attempt(again, pictures, number)
    except steering.caution.stops:
        raise
    except Exception as error:
        raise _AttemptFailed(f"attempt {number + 1} failed, {fault(error)}") from error
    overlaps = _overlaps(again.trace, step)
    if again.unsteered or overlaps is None:
        raise _AttemptFailed("; ".join([f"attempt {number + 1} failed", *map(str, again.unsteered)]))
    return results, overlaps, again.trace


def _none_began(steering: Steering, pictures: int, reason: str) -> dict[int, Any]:
    steering.restarts.append(Restarts(pictures, (), reason))
    return {}


def _crowded(overlaps: Sequence[float], most: float) -> list[int]:
    return [image for image, overlap in enumerate(overlaps) if overlap > most]


def derived_seed(*parts: object) -> int:
    """A seed of 63 bits that these parts decide, unlike that of any others."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def new_noise(noise: Tensor, attempt: int) -> Tensor:
    """Standard normal noise for another attempt, decided by each picture's own noise whatever its batch.

    Args:
        noise: of the first attempt, (batch, …).
        attempt: from 1.
    """
    drawn = []
    for picture in noise.float().cpu():
        seed = derived_seed(hashlib.sha256(picture.numpy().tobytes()).hexdigest(), attempt)
        drawn.append(torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed)))
    return torch.stack(drawn).to(noise)


def _overlaps(trace: Sequence[TraceEntry], step: int) -> list[float] | None:
    """Of each picture at the first probe of a step; none where there was none."""
    entry = next((entry for entry in trace if entry.step == step), None)
    return None if entry is None else entry.presence.worst_overlap.tolist()


def _with_images(
    trace: Sequence[TraceEntry], other: Sequence[TraceEntry], places: Mapping[int, int]
) -> list[TraceEntry]:
    """A trace with some images from another; see ``TraceEntry.with_images``.

    Where one of them was looked at more often within a step, the other one's last look stands for those it lacks.
    """
    theirs = _by_step(other)
    taken: list[TraceEntry] = []
    for step, ours in _by_step(trace).items():
        looks = max(len(ours), len(theirs.get(step, ())))
        ours = _repeated(ours, looks)
        if step in theirs:
            ours = [entry.with_images(one, places) for entry, one in zip(ours, _repeated(theirs[step], looks))]
        taken += ours
    return taken


def _by_step(trace: Sequence[TraceEntry]) -> dict[int, list[TraceEntry]]:
    return {step: list(entries) for step, entries in groupby(trace, lambda entry: entry.step)}


def _repeated(entries: Sequence[TraceEntry], looks: int) -> list[TraceEntry]:
    """So many looks of a step: the last one again, which nothing follows from."""
    last = entries[-1]
    still = replace(last, gradient_norm=torch.zeros_like(last.gradient_norm))
    return [*entries, *(replace(still, refinement=number) for number in range(len(entries), looks))]
