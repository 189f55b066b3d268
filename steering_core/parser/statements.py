"""What a mark states of the phrases that belong to it: relations, places in the picture, and depth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise, product

from ..relations.depth import Depth
from ..relations.place import Place
from ..relations.relation import Relation
from ..relations.statement import DepthRelation, Span, SpatialRelation, Statement, statement_of
from .kinds import is_person, is_placeless, is_plural, qualifies
from .marks import Mark
from .phrases import Phrase, is_creature
from .words import BODY, BONDS, FRAMES, MARKINGS, MEASURES, MOUTH, NO_SUPPORTS, PERCHES, UNPLACED

#: How what is between two stands to the first and to the second, by whether the first is the upper or the lower one.
_BETWEEN = {
    None: (Relation.RIGHT_OF, Relation.LEFT_OF),
    -1: (Relation.BELOW, Relation.ABOVE),
    1: (Relation.ABOVE, Relation.BELOW),
}
#: What ties a companion to a head that it stands beside: "a house with a tree".
_WITH = (("with",), (",", "with"))


def related(mark: Mark, subjects: Sequence[Phrase], objects: Sequence[Phrase]) -> Iterator[Statement]:
    """What a mark that relates two says of each subject and each object."""
    if mark.kind == "each_other":
        for one, other in pairwise(subjects):
            yield from _relate(one, Relation.NEAR, other)
    elif mark.kind == "between":
        yield from _between(mark, subjects, objects)
    else:
        for subject, thing in product(subjects, objects):
            if mark.kind != "on" or _rests_on(subject, thing):
                yield from _relate(subject, mark.depth or Relation.of((mark.x or 0, mark.y or 0)), thing)


def ordered(relation: Relation, things: Sequence[Phrase]) -> Iterator[Statement]:
    """Each of several things in their order, and the next one."""
    for one, other in pairwise(things):
        yield from _relate(one, relation, other)


def placed(subject: Phrase, mark: Mark, companion: Phrase | None) -> Iterator[Statement]:
    """Where a phrase is in the picture, or how near, unless that is meant of its companion or may be."""
    beside = companion is not None and companion.joints[-1] in {"with", "whose", "at"}
    scene = subject.noun in FRAMES | NO_SUPPORTS
    if mark.kind == "layer":
        # "A road with a cow in the foreground", "a dog with a kite in the background".
        named = companion if companion and beside and (scene or mark.depth is Depth.IN_BACKGROUND) else subject
        if mark.depth and not (_is_nowhere(named) or qualifies(named.noun)):
            yield DepthRelation(named.span, mark.depth, None)
    elif mark.kind not in ("aside", "upon") and not (_is_nowhere(subject) or subject.noun in UNPLACED | BODY):
        place = Place.of((mark.x or 0, mark.y or 0))
        if companion and companion.joints[-2:] in _WITH and (scene or (mark.x and mark.y)):
            yield SpatialRelation(companion.span, place, None)
        elif companion is None or not (beside or mark.y is not None or place is Place.AT_CENTER):
            yield SpatialRelation(subject.span, place, None)


def neighbours(*both: tuple[Phrase, Mark]) -> Iterator[Statement]:
    """Relate two neighbours, one of which is said to be aside, or both upon, on the axes that both marks fix."""
    (first, a), (second, b) = both[0], both[-1]
    if "aside" not in (a.kind, b.kind) and (a.kind, b.kind) != ("upon", "upon"):
        return
    x, y = (0 if p is None or q is None else (p > q) - (p < q) for p, q in ((a.x, b.x), (a.y, b.y)))
    if x or y:
        yield from _relate(first, Relation.of((x, y)), second)


def without_contradictions(relations: Sequence[SpatialRelation]) -> Iterator[SpatialRelation]:
    """All but what says opposites: "two dogs, one on the left, one on the right", "above or below" of the same two."""
    said = defaultdict[tuple[Span, Span | None], list[Place | Relation]](list)
    for relation in relations:
        said[relation.subject, relation.object].append(relation.relation)
        if relation.object and isinstance(relation.relation, Relation):
            said[relation.object, relation.subject].append(relation.relation.inverse)
    for relation in relations:
        if not any(are_opposite(other, relation.relation) for other in said[relation.subject, relation.object]):
            yield relation


def are_opposite(one: Place | Relation, other: Place | Relation) -> bool:
    """Whether two of them go opposite ways on an axis."""
    return any(a * b < 0 for a, b in zip(one.direction, other.direction))


def _between(mark: Mark, subjects: Sequence[Phrase], things: Sequence[Phrase]) -> Iterator[Statement]:
    """Right of the first and left of the second; near several of one name, whose middle the subject is in."""
    if any(map(_is_nowhere, things)):
        return  # "between the sky and a boat"
    for subject in subjects:
        if subject.noun in BONDS or any(thing.noun in MOUTH for thing in things):
            continue
        if len(things) == 1 and (is_plural(things[0].noun) or things[0].noun in MEASURES):
            yield from _relate(subject, Relation.NEAR, things[0])
        elif len(things) == 2:
            for relation, thing in zip(_BETWEEN[mark.y], things):
                yield from _relate(subject, relation, thing)


def _is_nowhere(phrase: Phrase) -> bool:
    """Whether it names nothing that has a place in the picture."""
    return is_placeless(phrase.noun) or phrase.is_absent


def _rests_on(subject: Phrase, thing: Phrase) -> bool:
    """Whether by "on" the one is above the other: nothing that shows on a surface, and of a body what perches there."""
    perches = thing.noun not in PERCHES or is_person(subject.noun) or is_creature(subject)
    return perches and subject.noun not in MARKINGS


def _relate(subject: Phrase, relation: Relation | Depth, thing: Phrase) -> Iterator[Statement]:
    if subject.span == thing.span or _is_nowhere(subject) or _is_nowhere(thing):
        return
    yield statement_of(subject.span, relation, thing.span)
