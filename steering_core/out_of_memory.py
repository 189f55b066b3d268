"""Memory that ran out, told from other errors."""

from __future__ import annotations

import torch

#: How older drivers, and the CPU on Linux and on Windows, say it.
_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; older drivers and the CPU say so in words alone."""
    words = str(error).lower()
    in_words = isinstance(error, RuntimeError) and any(phrase in words for phrase in _WORDS)
    return in_words or isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError))
