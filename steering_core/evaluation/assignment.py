"""Which of the found objects is which of a prompt's: none is two whose names are alike for a detector."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from ..detection.boxes import Box, Found
from ..detection.names import canonical
from ..relations.statement import ends
from .suites.suite import Triplet

#: An object for each name.
Choice = dict[str, Found]


def names_of(relations: Sequence[Triplet]) -> tuple[str, ...]:
    """Of the objects, each once."""
    return tuple(dict.fromkeys(name for subject, _, object in relations for name in ends(subject, object)))


def whole_choices(relations: Sequence[Triplet], found: Sequence[Found]) -> list[Choice]:
    """Those of ``surest_choices`` that have every object of a prompt; none where one was not found."""
    names = names_of(relations)
    return [choice for choice in surest_choices(names, found) if len(choice) == len(names)]


def surest_choices(names: Sequence[str], found: Sequence[Found]) -> list[Choice]:
    """The surest object of each name, or a different one for each of those that are alike.

    There are several choices only where names are alike: the same objects, with the names in another order, so that
    what is asked of them can decide. A name is in none where there is no object for it.

    Args:
        names: each once.
        found: of equally sure objects the last counts.
    """
    surest_first = sorted(found, key=lambda one: one.score)[::-1]
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(canonical(name), []).append(name)
    of_groups = [_surest_of(alike, surest_first) for alike in groups.values()]
    return [{name: one for part in parts for name, one in part.items()} for parts in itertools.product(*of_groups)]


def _surest_of(alike: Sequence[str], surest_first: Sequence[Found]) -> list[Choice]:
    """The choices for some names that are alike which name the most of them, and of these the surest."""
    candidates: dict[str, list[Found]] = {}
    for name in alike:
        by_box: dict[Box, Found] = {}
        for one in surest_first:
            if one.label == name:
                by_box.setdefault(one.box, one)
        # More than there are names are never needed: the others take all of these but one.
        candidates[name] = list(by_box.values())[: len(alike)]
    boxes = {one.box for those in candidates.values() for one in those}
    for count in range(min(len(alike), len(boxes)), 0, -1):
        named = [
            choice
            for some in itertools.combinations(alike, count)
            for choice in _choices({name: candidates[name] for name in some})
        ]
        if named:
            sure = [math.fsum(one.score for one in choice.values()) for choice in named]
            most = max(sure)
            return [choice for choice, its in zip(named, sure) if its == most]
    return [{}]


def _choices(candidates: Mapping[str, Sequence[Found]]) -> list[Choice]:
    """Every choice of one candidate for each name that takes no box twice.

    Names are alike where a detector has one word for both, as COCO's person is the girl and the woman: what it finds
    it gives under either, with the same box.
    """
    found = [Choice()]
    for name, those in candidates.items():  # what takes a box twice goes no further
        found = [
            {**choice, name: one}
            for choice in found
            for one in those
            if all(one.box != other.box for other in choice.values())
        ]
    return found
