"""Whether found objects can be taken for the names of a prompt so that all it states holds of them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from ..detection.boxes import Box, Found
from ..relations.statement import ends
from .suites.suite import Triplet

#: Of each name the objects that it may yet be.
_Left = dict[str, list[Found]]
#: By a name, another that is related to it and an object of the first, by its id: the ids of the second's objects that
#: stand to it as the prompt says.
_Fits = Mapping[str, Mapping[str, Mapping[int, set[int]]]]


def each_has_its_own(boxes: Sequence[Collection[Box]]) -> bool:
    """Whether each of several can have a box that no other has, by augmenting paths (Kuhn 1955).

    Args:
        boxes: of each those that it may have.
    """
    owner: dict[Box, int] = {}
    owned: dict[int, Box] = {}
    for first in range(len(boxes)):
        asked_by: dict[Box, int] = {}
        free = _free_box(first, boxes, owner, asked_by)
        if free is None:
            return False
        while free is not None:  # each on the way takes the next one's
            one = asked_by[free]
            owner[free] = one
            owned[one], free = free, owned.get(one)
    return True


def _free_box(
    first: int, boxes: Sequence[Collection[Box]], owner: Mapping[Box, int], asked_by: dict[Box, int]
) -> Box | None:
    """A box that nobody has and that the first can be given if others change theirs; none where there is none.

    Args:
        asked_by: takes up by whom each box on the way was asked for.
    """
    asked = [first]
    for one in asked:  # grows on the way
        for box in boxes[one]:
            if box in asked_by:
                continue
            asked_by[box] = one
            if box not in owner:
                return box
            asked.append(owner[box])
    return None


def can_all_hold(relations: Sequence[Triplet], candidates: Mapping[str, Sequence[Found]]) -> bool:
    """Whether there is an object for each name, no two with one box, so that all relations hold.

    Names are tried one after the other, and an object is left out as soon as it stands to none that is left of another
    name as the prompt says (arc consistency, Mackworth 1977). So most contradictions show before any is tried.

    Args:
        relations: with the objects by the candidates' names.
        candidates: of each name the objects that it may be.
    """
    left = {name: list(those) for name, those in candidates.items()}
    related: dict[tuple[str, str], list[Triplet]] = defaultdict(list)
    for subject, relation, object in relations:
        if object in (None, subject):
            count = len(ends(subject, object))
            left[subject] = [one for one in left[subject] if relation.holds(*[one.box.centre] * count)]
        else:
            assert object is not None
            related[min(subject, object), max(subject, object)].append((subject, relation, object))
    fits: dict[str, dict[str, dict[int, set[int]]]] = {name: {} for name in left}
    for (one, other), stated in related.items():
        fits[one][other], fits[other][one] = _fitting(stated, one, other, left)
    return all(left.values()) and all(_is_possible(group, fits) for group in _groups(left, fits))


def _fitting(
    stated: Sequence[Triplet], name: str, other: str, left: _Left
) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
    """For each object of a name those of another that stand to it as all of a few relations say; and the reverse."""
    there: dict[int, set[int]] = {id(one): set() for one in left[name]}
    back: dict[int, set[int]] = {id(one): set() for one in left[other]}
    for one, its in itertools.product(left[name], left[other]):
        centres = {name: one.box.centre, other: its.box.centre}
        if all(relation.holds(*(centres[end] for end in ends(a, b))) for a, relation, b in stated):
            there[id(one)].add(id(its))
            back[id(its)].add(id(one))
    return there, back


def _groups(left: _Left, fits: _Fits) -> Iterator[_Left]:
    """Names that have to do with each other, by relations or a box that several may have; none with another group's."""
    with_box: dict[Box, list[str]] = defaultdict(list)
    for name, those in left.items():
        for box in {one.box for one in those}:
            with_box[box].append(name)
    near: dict[str, list[str]] = {name: list(fits[name]) for name in left}
    for names in with_box.values():
        for one, other in itertools.pairwise(names):
            near[one].append(other)
            near[other].append(one)
    seen: set[str] = set()
    for first in left:
        group = [] if first in seen else [first]
        seen.add(first)
        for name in group:  # grows
            new = [other for other in dict.fromkeys(near[name]) if other not in seen]
            seen.update(new)
            group += new
        if group:
            yield {name: left[name] for name in group}


def _is_possible(group: _Left, fits: _Fits) -> bool:
    """Whether each name of a group can have an object; tries one name after the other, in the group's order."""
    boxes = [box for those in group.values() for box in {one.box for one in those}]
    shares_boxes = len(set(boxes)) < len(boxes)
    names = list(group)
    untried: list[tuple[int, _Left, list[str]]] = [(0, group, names)]
    while untried:
        at, before, changed = untried.pop()
        left = _pruned(before, changed, fits)
        if left is None or (shares_boxes and not each_has_its_own([[one.box for one in left[name]] for name in names])):
            continue
        at = next((later for later in range(at, len(names)) if len(left[names[later]]) > 1), len(names))
        if at == len(names):
            return True
        untried += [(at + 1, {**left, names[at]: [one]}, [names[at]]) for one in reversed(left[names[at]])]
    return False


def _pruned(left: _Left, changed: Sequence[str], fits: _Fits) -> _Left | None:
    """What is left when objects that fit none of a related name's are out; none where a name has none then.

    Args:
        changed: names of which objects were left out.
    """
    left, to_see = dict(left), list(changed)
    while to_see:
        name = to_see.pop()
        for other, fit in fits[name].items():
            wanted = set().union(*(fit[id(one)] for one in left[name]))
            kept = [one for one in left[other] if id(one) in wanted]
            if not kept:
                return None
            if len(kept) < len(left[other]):
                left[other] = kept
                to_see.append(other)
    return left
