"""Switches of the whole process that several threads may want at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Lock
from typing import Any

import torch


def _shared(make: Callable[[], AbstractContextManager[Any]]) -> Callable[[], AbstractContextManager[None]]:
    """A context that is entered by the first of several threads in it, and left by the last.

    Were each to put back what it found, one that ends late would put back what another had set.
    """
    lock, entered = Lock(), ExitStack()
    inside = 0

    @contextmanager
    def shared() -> Iterator[None]:
        nonlocal inside
        with lock:
            if not inside:
                entered.enter_context(make())
            inside += 1
        try:
            yield
        finally:
            with lock:
                inside -= 1
                if not inside:
                    entered.close()

    return shared


@contextmanager
def _without_cudnn_attention() -> Iterator[None]:
    is_enabled = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(is_enabled)


#: In this context PyTorch attends by kernels whose gradient can be trusted.
#:
#: Not by cuDNN's, which it prefers on an H100 or H200 in half precision: there the gradient was not finite, or read
#: memory that is not its own (PyTorch 2.11, H200).
differentiable_attention = _shared(_without_cudnn_attention)

#: In this context what was compiled runs uncompiled.
uncompiled_forwards = _shared(lambda: torch.compiler.set_stance("force_eager"))
