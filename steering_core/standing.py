"""How far a relation has come in the model's attention, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

#: From the best to the worst. The first asks for nothing more: its loss has met the target.
_THERE, _NEARLY, _NOT = "there", "nearly there", "not there yet"


def standing(stands: Sequence[bool], met: Sequence[bool]) -> str:
    """How far a relation has come in each picture of a batch: as one word where it is the same in all.

    Args:
        stands: whether the centres stand in the relation.
        met: whether its loss has met the target, so that it is left alone: with a centroid loss, by the margin.
    """
    words = [(_THERE if left_alone else _NEARLY) if placed else _NOT for placed, left_alone in zip(stands, met)]
    counts = Counter(words)
    if len(counts) == 1:
        return words[0]
    told = [f"{word} in {counts[word]}" for word in (_THERE, _NEARLY, _NOT) if counts[word]]
    return f"{', '.join(told)} of {len(words)} pictures"
