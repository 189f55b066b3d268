"""Memory that ran out, told from other errors."""

from __future__ import annotations

import torch


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; older drivers and the CPU say so in words alone."""
    words = str(error).lower()
    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("out of memory" in words or "can't allocate memory" in words)
    )
