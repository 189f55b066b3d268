"""How much memory something takes at its peak."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")
#: Of glibc's malloc.h: blocks of this size and more get pages of their own.
_M_MMAP_THRESHOLD, _PAGES = -3, 16 * 1024
#: Written to clear_refs it sets the process's peak back to what it holds.
_RESET_PEAK = "5"


def peak_memory(run: Callable[[], object], device: str) -> int:
    """Bytes that a run takes at its peak, above what was taken before it. It is run twice, the first time to warm up.

    On a card that is what PyTorch has given to tensors there. On the CPU, under Linux, it is the process's memory as
    the kernel counts it, where from here on what is freed is given back at once, so that nothing freed hides a peak.
    """
    if device != "cpu":
        run()
        gc.collect()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _PAGES)
    run()
    gc.collect()
    libc.malloc_trim(0)
    (_PROCESS / "clear_refs").write_text(_RESET_PEAK)
    before = _bytes("VmRSS")
    run()
    return _bytes("VmHWM") - before


def _bytes(name: str) -> int:
    """A number of the process's status, which the kernel tells in kB."""
    lines = (_PROCESS / "status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields[name].split()[0]) * 1024
