"""The relation that two objects' boxes leave no doubt of."""

from __future__ import annotations

from ...detection.boxes import Box
from ...relations.relation import Relation

#: Boxes that share more than this much of the smaller one leave it open how they lie.
_MOST_OVERLAP = 0.25
#: Objects whose box has less than this share of the picture's area are hardly seen by the model.
_LEAST_AREA = 0.01
#: A relation must hold by this share of the picture's side between the centres …
_LEAST_DISTANCE = 0.1
#: … and the distance along its axis be so many times that across it, or a diagonal is as true.
_LEAST_DOMINANCE = 1.5


def unambiguous_relation(subject: Box, object: Box) -> Relation | None:
    """The one of ``CARDINAL_RELATIONS`` that clearly holds; none where that could be disputed.

    Both boxes have at least 1 % of the picture, share at most a quarter of the smaller one, and
    their centres lie at least a tenth of the side apart, along one axis 1.5 times as far as along
    the other.
    """
    if min(subject.area, object.area) < _LEAST_AREA or subject.overlap(object) > _MOST_OVERLAP:
        return None
    dx, dy = (ours - theirs for ours, theirs in zip(subject.centre, object.centre))
    along, across = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    if along < _LEAST_DISTANCE or along < _LEAST_DOMINANCE * across:
        return None
    if abs(dx) > abs(dy):
        return Relation.LEFT_OF if dx < 0 else Relation.RIGHT_OF
    return Relation.ABOVE if dy < 0 else Relation.BELOW
