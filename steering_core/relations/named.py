"""Objects of one name told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from .statement import Span


class NamedObject(NamedTuple):
    """An object by its words.

    Attributes:
        name, occurrence: which it is of that name in the prompt, from 0.
    """

    name: str
    occurrence: int

    def __str__(self) -> str:
        """The name, with a number from the second of it on."""
        return f"{self.name} {self.occurrence + 1}" if self.occurrence else self.name


def numbered(spans: Iterable[Span]) -> dict[Span, NamedObject]:
    """Each of a prompt's objects by its name, and which one of that name it is."""
    seen = Counter[str]()
    named = {}
    for span in sorted(spans, key=lambda span: span.start):
        named[span] = NamedObject(span.text, seen[span.text])
        seen[span.text] += 1
    return named
