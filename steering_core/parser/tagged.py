"""A word of a sentence, as all that reads a prompt takes it."""

from __future__ import annotations

from typing import NamedTuple

from .tagger import OTHER


class Word(NamedTuple):
    """A word in lower case, or a comma for any pause, and its range in the prompt.

    Attributes:
        tag: one of ``tagger.TAGS``.
    """

    text: str
    start: int
    end: int
    tag: str = OTHER
