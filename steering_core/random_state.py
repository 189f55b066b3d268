"""The random numbers that whoever draws them finds as if steering had not looked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def keeping_random_state(device: torch.device) -> Iterator[None]:
    """What is drawn in this context from torch's own generators, by what hangs on a network, is drawn again after it.

    Args:
        device: on which the network runs; its generator and the CPU's are kept.
    """
    # DirectML's devices have a name of their own in torch, and no generator that could be read.
    is_kept = device.type != "cpu" and hasattr(torch, device.type)
    with torch.random.fork_rng([device] if is_kept else [], device_type=device.type if is_kept else "cpu"):
        yield
