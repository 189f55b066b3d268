"""The ways of sampling that an evaluation compares: its arms."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .suites import ScenePrompt


@dataclass(frozen=True)
class Drawn:
    """Pictures of a prompt, and what steering did for them.

    Attributes:
        pictures: (seeds, 3, H, W) in [0, 1].
        looks: how often a picture's maps were read, counted for each picture.
        gradient_passes: how often a picture was moved by a gradient, likewise.
    """

    pictures: Tensor
    looks: int = 0
    gradient_passes: int = 0


#: Draws a prompt with some seeds.
Draw = Callable[[ScenePrompt, Sequence[int]], Drawn]


@dataclass(frozen=True)
class Arm:
    """One way of sampling.

    Attributes:
        name: for tables and its folder.
        description: what it does otherwise than the other arms, as plain values.
        draw: makes its pictures.
        clock: in seconds, that tells how long they take.
    """

    name: str
    description: Mapping[str, Any]
    draw: Draw
    clock: Callable[[], float] = time.perf_counter
