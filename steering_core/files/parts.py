"""Reads the JSON that widgets hold, which anybody may have written: what is not as expected is named."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """A part of a JSON value, and what it is called, such as ``edits.relations[2].wanted``."""

    name: str
    value: Any

    def get(self, key: str) -> Part | None:
        """What an object holds under a key; none where it holds nothing.

        Raises:
            ValueError: this is no object.
        """
        if not isinstance(self.value, dict):
            raise self.unlike("an object")
        return Part(f"{self.name}.{key}", self.value[key]) if key in self.value else None

    def __getitem__(self, key: str) -> Part:
        """What an object holds under a key.

        Raises:
            ValueError: this is no object, or holds nothing there.
        """
        part = self.get(key)
        if part is None:
            raise self.unlike(f"an object with {key}")
        return part

    def items(self, least: int = 0, most: float = math.inf) -> Iterator[Part]:
        """The parts of a list.

        Raises:
            ValueError: this is no list, or one of another length.
        """
        if not isinstance(self.value, list):
            raise self.unlike("a list")
        if not least <= len(self.value) <= most:
            raise self.unlike(f"a list of {least if least == most else f'at most {most}'}")
        return (Part(f"{self.name}[{index}]", value) for index, value in enumerate(self.value))

    def text(self) -> str:
        """A string.

        Raises:
            ValueError: this is none.
        """
        if not isinstance(self.value, str):
            raise self.unlike("a text")
        return self.value

    def switch(self) -> bool:
        """True or false.

        Raises:
            ValueError: this is neither.
        """
        if not isinstance(self.value, bool):
            raise self.unlike("true or false")
        return self.value

    def index(self, length: float = math.inf) -> int:
        """A whole number from 0, below a length.

        Raises:
            ValueError: this is none.
        """
        if type(self.value) is not int or not 0 <= self.value < length:
            raise self.unlike(f"a whole number of 0 or more{'' if length == math.inf else f', below {length}'}")
        return self.value

    def share(self, whole: int = 1) -> float:
        """A number from 0 to a whole, as a share of it: in [0, 1].

        Raises:
            ValueError: this is none.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)) or not 0 <= self.value <= whole:
            raise self.unlike(f"a number from 0 to {whole}")
        return self.value / whole

    def nothing(self) -> None:
        """Null.

        Raises:
            ValueError: something is here.
        """
        if self.value is not None:
            raise self.unlike("null")

    def one_of(self, choices: Sequence[str]) -> str:
        """One of several texts.

        Raises:
            ValueError: this is none of them.
        """
        if self.text() not in choices:
            raise self.unlike(f"one of {', '.join(choices)}")
        return self.value

    def unlike(self, expected: str) -> ValueError:
        """The error that says what was expected here, and shows in short what is here."""
        return ValueError(
            f"{self.name}: {expected} was expected, and {reprlib.repr(self.value)} was given. Mend the value, or reset "
            f"the widget that holds it."
        )
