"""What pictures took: taken down as they are drawn, a file a prompt, and averaged over them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from ..files.described import described, read_json
from ..files.whole import save_text


@dataclass(frozen=True)
class Times:
    """How many pictures of a prompt were drawn, and what they took together.

    Attributes:
        looks, gradient_passes: see ``Drawn``; none in folders of before these were counted.
    """

    pictures: int
    seconds: float
    looks: int | None = None
    gradient_passes: int | None = None

    def __add__(self, more: Times) -> Times:
        """Of both together."""
        sums: list[Any] = [
            None if before is None or now is None else before + now for before, now in zip(astuple(self), astuple(more))
        ]
        return Times(*sums)


def read_times(file: Path) -> Times:
    """What a file says; nothing of no pictures where there is none.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read.
    """
    if not file.exists():
        return Times(0, 0.0, 0, 0)
    try:
        return described(Times, read_json(file), str(file), strict=False)
    except ValueError as error:
        raise ValueError(f"{error} Remove it: what these pictures took is not counted then.") from error


def add_times(more: Times, file: Path) -> None:
    """Add what further pictures took to what a file says.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read or written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    save_text(json.dumps(asdict(read_times(file) + more)), file)


@dataclass(frozen=True)
class Cost:
    """What a picture took, on average; nan where that was not taken down.

    Attributes:
        seconds: by the arm's clock, detection left out.
        looks, gradient_passes: see ``Drawn``.
    """

    seconds: float
    looks: float
    gradient_passes: float

    @classmethod
    def mean(cls, times: Sequence[Times]) -> Cost:
        """Over all pictures of some prompts."""
        pictures = sum(of_prompt.pictures for of_prompt in times)

        def per_picture(name: str) -> float:
            amounts = [getattr(of_prompt, name) for of_prompt in times]
            return sum(amounts) / pictures if pictures and None not in amounts else math.nan

        return cls(*(per_picture(field.name) for field in fields(cls)))
