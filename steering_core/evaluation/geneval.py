"""GenEval's verdict on positions (Ghosh et al. 2023, GenEval, section 3; its published evaluation decides details)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..detection.boxes import Box, Found
from ..relations.relation import CARDINAL_RELATIONS, Relation
from .assignment import whole_choices
from .suites.suite import Triplet
from .visor import Trial

#: What is found less surely counts as not found.
_LEAST_SCORE = 0.3
#: So much of the two boxes' sizes the centres must differ by before anything is said.
_OF_THE_SIZES = 0.1
#: A direction holds where its share of the distance between the centres is more than this.
_LEAST_SHARE = 0.5


def judge_geneval(relations: Sequence[Triplet], found: Sequence[Found], size: tuple[int, int]) -> Trial:
    """Whether the surest object of each name stands as the prompt says.

    What is published has one object for names that are alike; here each gets its own, see ``surest_choices``.

    Args:
        relations: of the four directions; the objects by the detector's names.
        size: (width, height) of the picture in pixels, which are square where its sides' shares are not.

    Raises:
        ValueError: a relation is none of these, of which the benchmark says nothing.
    """
    if unknown := next((relation for _, relation, _ in relations if relation not in CARDINAL_RELATIONS), None):
        raise ValueError(f'GenEval judges no "{unknown.phrase}".')
    whole = whole_choices(relations, [one for one in found if one.score > _LEAST_SCORE])
    correct = any(
        all(
            object is not None and relation in positions(choice[subject].box, choice[object].box, size)
            for subject, relation, object in relations
        )
        for choice in whole
    )
    return Trial(bool(whole), correct)


def positions(subject: Box, object: Box, size: tuple[int, int]) -> set[Relation]:
    """The directions that hold: none, one, or two.

    The offset of the centres is brought nearer to 0 by a tenth of both boxes' sizes, and divided by its length as
    it was.
    """
    offset = subject.offset_from(object, size)
    sizes = (subject.width + object.width) * size[0], (subject.height + object.height) * size[1]
    x, y = (math.copysign(max(abs(part) - _OF_THE_SIZES * both, 0.0), part) for part, both in zip(offset, sizes))
    length = math.hypot(*offset)
    if not (x or y):
        return set()
    shares = {
        Relation.LEFT_OF: -x / length,
        Relation.RIGHT_OF: x / length,
        Relation.ABOVE: -y / length,
        Relation.BELOW: y / length,
    }
    return {relation for relation, share in shares.items() if share > _LEAST_SHARE}
