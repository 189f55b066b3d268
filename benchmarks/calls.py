"""A pipeline's calls of its network, answered by another function: what changes a prediction and needs no gradient."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from diffusers import DiffusionPipeline
from torch import Tensor

from steering_core.backends.diffusers.pipelines import kind_of


@dataclass(frozen=True)
class Call:
    """One call of the network.

    Attributes:
        inputs: of its forward, by name.
        step: of the sampling, from 0.
        prompted: for each equal part of the batch whether it holds the prompt, or what guidance leads away from.
    """

    inputs: dict[str, Any]
    step: int
    prompted: tuple[bool, ...]


#: The network's own forward, which takes its inputs by name and gives a tuple of the prediction alone.
Forward = Callable[..., tuple[Tensor]]
Answer = Callable[[Call, Forward], tuple[Tensor]]


@contextmanager
def answered(pipeline: DiffusionPipeline, answer: Answer) -> Iterator[None]:
    """In this context, which is for one call of the pipeline, its network's calls go to ``answer``."""
    kind = kind_of(pipeline)
    network: Any = kind.network_of(pipeline)
    forward, signature = network.forward, inspect.signature(type(network).forward)
    step, time = -1, None

    def answering(*args: Any, **kwargs: Any) -> tuple[Tensor]:
        nonlocal step, time
        inputs = signature.bind(network, *args, **kwargs).arguments
        del inputs["self"]
        now = float(inputs["timestep"].flatten()[0])
        is_first = now != time
        if is_first:
            step, time = step + 1, now
        prompted = kind.prompted_parts(pipeline, inputs[kind.latent], is_first)
        return answer(Call(inputs, step, prompted), forward)

    network.forward = answering
    try:
        yield
    finally:
        del network.forward
