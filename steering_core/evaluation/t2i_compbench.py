"""T2I-CompBench's score of 2D relations (Huang et al. 2023, section 4; its published evaluation decides details)."""

from __future__ import annotations

from collections.abc import Sequence

from ..detection.boxes import Box, Found
from ..relations.place import Place
from ..relations.relation import CARDINAL_RELATIONS, Relation
from .assignment import Choice, names_of, surest_choices
from .suites.suite import Triplet

#: Of each object's score, and of the relation's, in the sum; a sum below ``_LEAST`` counts nothing.
_OF_AN_OBJECT, _OF_THE_RELATION, _LEAST = 0.25, 0.5, 0.5
#: Boxes that overlap more than this (IoU) are worth less.
_MOST_IOU = 0.1
#: Centres at most so far apart along one axis are near: 150 pixels of a square picture's 512.
_NEAR = 150 / 512


def t2i_compbench_score(triplet: Triplet, found: Sequence[Found], size: tuple[int, int]) -> float:
    """How well a picture shows a relation between two objects, in [0, 1].

    What is published has one object for names that are alike. Here each gets its own, see ``surest_choices``, and of
    several choices the best counts.

    Args:
        triplet: a direction or nearness; the objects by the detector's names.
        found: of several objects of one name the surest counts.
        size: (width, height) of the picture in pixels.

    Raises:
        ValueError: see ``relation_score``.
    """
    return max(_score(triplet, choice, size) for choice in surest_choices(names_of([triplet]), found))


def _score(triplet: Triplet, choice: Choice, size: tuple[int, int]) -> float:
    subject, relation, object = triplet
    score = _OF_AN_OBJECT * sum(one.score for one in choice.values())
    if object is not None and subject in choice and object in choice:
        score += _OF_THE_RELATION * relation_score(relation, choice[subject].box, choice[object].box, size)
    return score if score >= _LEAST else 0.0


def relation_score(relation: Relation | Place, subject: Box, object: Box, size: tuple[int, int]) -> float:
    """How well two boxes stand in a direction, or near each other, in [0, 1].

    Args:
        size: (width, height) of the picture in pixels. The side that *near* goes by is that of a square as large.

    Raises:
        ValueError: the relation is a diagonal or a place, of which the benchmark knows nothing.
    """
    dx, dy = map(abs, subject.offset_from(object, size))
    near = _NEAR * (size[0] * size[1]) ** 0.5
    if relation is Relation.NEAR:
        return 1.0 if min(dx, dy) < near else near / max(dx, dy)
    if isinstance(relation, Place) or relation not in CARDINAL_RELATIONS:
        raise ValueError(f'T2I-CompBench scores no "{relation.phrase}".')
    along, across = (dx, dy) if relation.direction[0] else (dy, dx)
    if along <= across or not relation.holds(subject.centre, object.centre):
        return 0.0
    iou = subject.iou(object)
    return 1.0 if iou < _MOST_IOU else _MOST_IOU / iou
