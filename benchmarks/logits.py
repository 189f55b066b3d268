"""A stand-in for models that nobody measured: attention of more, or of less, contrast than the miniatures' own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch import Tensor

from steering_core import probe
from steering_core.attention import token_columns


@contextmanager
def scaled_logits(scale: float) -> Iterator[None]:
    """Within this context, steering reads the attention of logits times a scale; the network attends as ever."""

    def columns(q: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return token_columns(scale * q, *args, **kwargs)

    with patch.object(probe, "token_columns", columns):
        yield
