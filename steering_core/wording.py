"""How errors and reports put what they tell of: shortened, on one line, as a sentence."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

_MOST = 4
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 200
_brief.maxlevel = 2


def fault(error: BaseException) -> str:
    """What failed and what it says, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def sentence(error: BaseException) -> str:
    """What an error says, with a full stop, so that another sentence can follow."""
    return f"{str(error).rstrip('.')}."


def several(items: Sequence[str], separator: str = "; ", most: int = _MOST) -> str:
    """The items one after the other; of many the first few, and how many more there are."""
    left = len(items) - most
    return separator.join([*items[:most], *([f"and {left} more"] if left > 0 else [])])


def one_line(error: BaseException) -> str:
    """What an exception says, on one line of at most 300 characters; its name if it says nothing."""
    return shortened(str(error)) or type(error).__name__


def brief(value: Any) -> str:
    """A value in a few words, on one line, however long or deep it is."""
    return _brief.repr(value)


def shortened(text: str, most: int = 300) -> str:
    """A text on one line, of at most so many characters."""
    text = " ".join(text[: 2 * most].split())
    return text if len(text) <= most else f"{text[:most]}…"


def unencodable(text: str) -> str | None:
    """Why a text cannot be in UTF-8, in words; none where it can be.

    What a terminal hands over in another encoding cannot, nor half of a pair of surrogates, which JSON can spell.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return (
            f"text in UTF-8 was expected; {brief(text)} has {brief(text[error.start : error.end])}, which is no "
            f"character"
        )
    return None
