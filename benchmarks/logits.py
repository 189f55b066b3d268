"""A stand-in for models that nobody measured: attention of more, or of less, contrast than the miniatures' own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch import Tensor

from steering_core.probe import MapCollector


@contextmanager
def scaled_logits(scale: float) -> Iterator[None]:
    """Within this context, steering reads the attention of logits times a scale; the network attends as ever."""

    add = MapCollector.add

    def scaled(collector: MapCollector, name: str, q: Tensor, *args: Any, **kwargs: Any) -> None:
        add(collector, name, scale * q, *args, **kwargs)

    with patch.object(MapCollector, "add", scaled):
        yield
