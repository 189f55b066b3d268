"""What times are read from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter, process_time

import torch


def clock_of(device: str) -> Callable[[], float]:
    """Seconds of this process's work, so that what runs beside it counts for nothing; on a card those of the wall."""
    return process_time if device == "cpu" else partial(_when_done, device)


def _when_done(device: str) -> float:
    """When a card has done all that it was given."""
    torch.cuda.synchronize(device)
    return perf_counter()
