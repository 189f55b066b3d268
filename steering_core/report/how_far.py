"""How far a relation has come in the model's attention, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

#: From the best to the worst. The first asks for nothing more: its loss has met the target.
_THERE, _NEARLY, _NOT = "there", "nearly there", "not there yet"


def how_far(stands: Sequence[bool], met: Sequence[bool]) -> str:
    """How far a relation has come in each picture of a batch: as one word where it is the same in all.

    Args:
        stands: whether the centres stand in the relation.
        met: whether its loss has met the target, so that it is left alone: with a centroid loss, by the margin.
    """
    counts = _counts(stands, met)
    if len(counts) == 1:
        return next(iter(counts))
    return f"{', '.join(f'{word} in {count}' for word, count in counts.items())} of {len(stands)} pictures"


def best_how_far(stands: Sequence[bool], met: Sequence[bool]) -> str:
    """``how_far`` where there is little room: of several words the best, and in how many pictures."""
    counts = _counts(stands, met)
    word, count = next(iter(counts.items()))
    return word if len(counts) == 1 else f"{word} in {count} of {len(stands)}"


def _counts(stands: Sequence[bool], met: Sequence[bool]) -> dict[str, int]:
    """In how many pictures there is which word, from the best on."""
    words = Counter((_THERE if left_alone else _NEARLY) if placed else _NOT for placed, left_alone in zip(stands, met))
    return {word: words[word] for word in (_THERE, _NEARLY, _NOT) if words[word]}
