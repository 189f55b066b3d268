"""Boxes that another program found in an evaluation's pictures, from a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files.described import described, parse_json
from ..files.whole import sha256_of
from ..wording import brief
from .boxes import Box, Found
from .detectors import names_for


@dataclass(frozen=True)
class _Object:
    """A found object: left, top, width and height in pixels; the score in [0, 1].

    Raises:
        ValueError: the label has no word, a side is not above 0, or the score is out of range.
    """

    label: str
    box: tuple[float, float, float, float]
    score: float = 1.0

    def __post_init__(self) -> None:
        if not self.label.strip():
            raise ValueError("a label with a word was expected.")
        if min(self.box[2:]) <= 0:
            raise ValueError(f"a box with a width and a height above 0 was expected, not {list(self.box)}.")
        if not 0 <= self.score <= 1:
            raise ValueError(f"a score from 0 to 1 was expected, not {self.score}.")


@dataclass(frozen=True)
class _Line:
    """A picture, by its place in the evaluation's folder, and all that was found in it."""

    picture: str
    found: tuple[_Object, ...]


class BoxesFile:
    """A file of JSON lines, one for each picture, in any order:

        {"picture": "arms/none/pictures/000012_42.png", "found": [{"label": "dog", "box": [12, 30, 64, 48],
        "score": 0.91}, …]}

    ``box`` is left, top, width and height in pixels of the picture; ``score`` is 1 where it is not given. What else
    stands in a line is passed over. Lines are read when they are asked for: no more than one is in memory.

    Raises:
        ValueError: a line is none of these, or of a picture that was there before; names it.
        OSError: the file cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._starts: dict[str, int] = {}
        self._labels: set[str] = set()
        for start, number, line in self._lines():
            if line.picture in self._starts:
                raise ValueError(f"{file}: line {number}: a line of {brief(line.picture)} is there already.")
            self._starts[line.picture] = start
            self._labels.update(one.label for one in line.found)
        self.description = f"boxes of a file {sha256_of(file)[:16]}"

    def check(self, names: Sequence[str], pictures: Iterable[str]) -> None:
        """Refuse a file that is of other pictures or knows none of the objects.

        Args:
            names: of the objects.
            pictures: by their places in the evaluation's folder.

        Raises:
            ValueError: a picture is not in it, or there are labels and none stands for any of the names; says which.
        """
        if missing := [picture for picture in pictures if picture not in self._starts]:
            raise ValueError(
                f"{self._file}: a line for each picture was expected; {len(missing)} have none, such as {missing[0]}. "
                f"Draw the pictures first, and look at all of them."
            )
        if self._labels and not any(names_for(label, names) for label in self._labels):
            labels = ", ".join(sorted(self._labels)[:20])
            raise ValueError(
                f"{self._file}: labels that stand for the objects of the prompts were expected, such as {names[0]}. "
                f"Those in it are: {labels}."
            )

    def find(self, picture: str, size: tuple[int, int], names: Sequence[str]) -> list[Found]:
        """What was found in a picture, best first, under each name that a label may stand for.

        Args:
            picture: one of those that were checked.
            size: its (width, height) in pixels.

        Raises:
            ValueError: a box lies beyond the picture.
        """
        with self._file.open("rb") as lines:
            lines.seek(self._starts[picture])
            content = described(_Line, parse_json(lines.readline(), str(self._file)), str(self._file), strict=False)
        boxes = [(one, Box.of_pixels(one.box, *size)) for one in content.found]
        if outside := next((one for one, box in boxes if not box.area), None):
            raise ValueError(
                f"{self._file}: {picture}: a box in its {size[0]}×{size[1]} pixels was expected, not "
                f"{list(outside.box)} of {brief(outside.label)}."
            )
        found = [Found(name, box, one.score) for one, box in boxes for name in names_for(one.label, names)]
        return sorted(found, key=lambda one: one.score, reverse=True)

    def _lines(self) -> Iterator[tuple[int, int, _Line]]:
        """Where each line that is not empty begins, in bytes, its number from 1, and what it says."""
        start = 0
        with self._file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    source = f"{self._file}: line {number}"
                    yield start, number, described(_Line, parse_json(line, source), source, strict=False)
                start += len(line)
