"""The random numbers that whoever draws them finds as if steering had not looked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def keeping_random_state(device: torch.device) -> Iterator[None]:
    """What is drawn in this context from torch's own generators, by what hangs on a network, is drawn again after it.

    Args:
        device: on which the network runs; its generator and the CPU's are kept. Apple's cannot be asked for by device,
            and DirectML's not at all: of these the CPU's alone is.
    """
    has_own = device.type not in ("cpu", "mps") and hasattr(torch, device.type)
    with torch.random.fork_rng([device] if has_own else [], device_type=device.type if has_own else "cpu"):
        yield
