"""Words that several reports share."""

from __future__ import annotations

from collections.abc import Sequence

_MOST = 4


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
