"""What was found in the pictures of a prompt, as a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..detection.boxes import Box, Found
from ..files.described import described, read_json
from ..files.whole import save_text


@dataclass(frozen=True)
class _FindingsFile:
    """The file's content: for each seed, in order, label, box and score of every object."""

    size: tuple[int, int]
    found: tuple[tuple[tuple[str, float, float, float, float, float], ...], ...]


def read_findings(file: Path, pictures: int) -> tuple[tuple[int, int], list[list[Found]]]:
    """(width, height) of the pictures in pixels, and what was found in each, in the order of the seeds.

    Args:
        pictures: so many are expected.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read.
    """
    content = described(_FindingsFile, read_json(file), str(file))
    if len(content.found) != pictures:
        raise ValueError(f"{file}: what {pictures} pictures show was expected; remove it.")
    found = [[Found(label, Box(*box), score) for label, *box, score in of_picture] for of_picture in content.found]
    return content.size, found


def save_findings(size: tuple[int, int], found: Sequence[Sequence[Found]], file: Path) -> None:
    """Write down what was found in each of a prompt's pictures, in the order of the seeds.

    Args:
        size: (width, height) of the pictures in pixels.

    Raises:
        OSError: the file cannot be written.
    """
    rows = [[[one.label, *one.box.sides, one.score] for one in of_picture] for of_picture in found]
    file.parent.mkdir(parents=True, exist_ok=True)
    save_text(json.dumps({"size": size, "found": rows}), file)
