"""What a detector sees in finished pictures, held against the relations of their prompt."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..tokens import GroundedRelation, GroundedScene
from ..wording import several
from .boxes import Found, Point
from .names import COCO_NAMES, canonical

#: On a picture, the best first: all is where it belongs; all is there; not all is.
VERDICTS = ("right", "wrong", "missing")


@dataclass(frozen=True)
class Look:
    """What a detector saw in each picture of a batch.

    Attributes:
        by: who looked, in words.
        found: of each picture.
        known: all labels that the detector can give; none where that is not known.
    """

    by: str
    found: Sequence[Sequence[Found]]
    known: frozenset[str] | None = None

    @property
    def labels(self) -> frozenset[str]:
        """Those that it knows; where that is not known, those that it gave."""
        return self.known or frozenset(one.label for picture in self.found for one in picture)


@dataclass(frozen=True)
class SeenRelation:
    """What became of a relation in the pictures.

    Attributes:
        relation: in words.
        failures: for each picture why the relation is not seen in it; none where it is.
        unjudged: why nobody can tell, in place of failures.
    """

    relation: str
    failures: tuple[str | None, ...] = ()
    unjudged: str = ""

    @property
    def seen(self) -> list[bool] | None:
        """For each picture; none where nobody can tell."""
        return None if self.unjudged else [failure is None for failure in self.failures]

    def __str__(self) -> str:
        if self.unjudged:
            return f"not judged: {self.relation}: {self.unjudged}"
        failed = [(number, failure) for number, failure in enumerate(self.failures, 1) if failure]
        pictures = len(self.failures)
        if not failed:
            return f"\N{CHECK MARK} seen: {self.relation}" + (f" in {pictures} of {pictures} pictures" * (pictures > 1))
        if pictures == 1:
            return f"\N{BALLOT X} not seen: {self.relation}: {self.failures[0]}"
        failures = several([f"picture {number}: {failure}" for number, failure in failed])
        return f"\N{BALLOT X} seen in {pictures - len(failed)} of {pictures} pictures only: {self.relation}; {failures}"

    def as_json(self) -> dict[str, Any]:
        """In plain lists; ``seen`` is null where nobody can tell."""
        return {"relation": self.relation, "seen": self.seen, "why_not": self.unjudged or list(self.failures)}


def seen_relations(scene: GroundedScene, look: Look) -> list[SeenRelation]:
    """Each relation of a scene in each picture, in the scene's order.

    Where a picture shows an object several times, a relation is seen if it holds whichever of them is meant.
    """
    labels = [label_of(phrase, look.labels) for phrase in scene.phrases]
    return [_seen(scene, relation, look, labels) for relation in scene.relations]


@dataclass(frozen=True)
class PlacedRelation:
    """How a relation's objects stand in a picture in which all of them were found.

    Attributes:
        relation: in words, without its objects.
        centres: of the subject and the object, the surest of each; of a place the subject's alone.
        seen: whether the relation is.
    """

    relation: str
    centres: tuple[Point, ...]
    seen: bool


def placed_relations(scene: GroundedScene, look: Look, relations: Sequence[SeenRelation]) -> list[list[PlacedRelation]]:
    """For each picture those of its relations whose objects were found and that somebody can judge.

    Args:
        relations: of ``seen_relations``.
    """
    labels = [label_of(phrase, look.labels) for phrase in scene.phrases]
    of_pictures = []
    for at, picture in enumerate(look.found):
        centres = surest_centres(labels, picture)
        of_picture = []
        for one, relation in zip(scene.relations, relations):
            found = [centre for centre in (centres[end] for end in one.ends) if centre is not None]
            if not relation.unjudged and len(found) == len(one.ends):
                of_picture.append(PlacedRelation(one.relation.phrase, tuple(found), relation.failures[at] is None))
        of_pictures.append(of_picture)
    return of_pictures


def surest_centres(labels: Sequence[str | None], picture: Sequence[Found]) -> list[Point | None]:
    """For each label the centre of the surest object; none where there is none.

    Args:
        labels: the detector's names for a scene's objects, none where it has none.
    """
    surest = {one.label: one.box.centre for one in sorted(picture, key=lambda one: one.score)}
    return [None if label is None else surest.get(label) for label in labels]


def label_of(phrase: str, labels: Iterable[str]) -> str | None:
    """The label for what a phrase of a prompt ends with: "red car" is a car, and a sofa COCO's couch.

    The most words decide: a hot dog is no dog, also where no label says so but COCO has a name for it.
    """
    words = phrase.casefold().split()
    known = {canonical(label): label for label in labels}
    for at in range(len(words)):
        name = canonical(" ".join(words[at:]))
        if name in known:
            return known[name]
        if name in COCO_NAMES:
            return None
    return None


def _seen(scene: GroundedScene, relation: GroundedRelation, look: Look, labels: list[str | None]) -> SeenRelation:
    words = scene.describe(relation)
    for number in relation.ends:
        label, name = labels[number], scene.names[number]
        if label is None and look.known:
            return SeenRelation(words, unjudged=f"{look.by} does not know '{name}'")
        same = [other for other, its in zip(scene.names, labels) if label is not None and its == label]
        if len(same) > 1:
            alike = " and ".join(f"'{one}'" for one in same)
            return SeenRelation(words, unjudged=f"to {look.by}, {alike} are the same: {label}")
    return SeenRelation(words, tuple(_failure(scene, relation, labels, picture) for picture in look.found))


def _failure(
    scene: GroundedScene, relation: GroundedRelation, labels: list[str | None], picture: Sequence[Found]
) -> str | None:
    """Why a relation is not seen in a picture."""
    ends = relation.ends
    found = [[one.box.centre for one in picture if one.label == labels[end]] for end in ends]
    missing = [scene.names[end] for end, centres in zip(ends, found) if not centres]
    if missing:
        return f"no {' and no '.join(missing)}"
    holds = [relation.relation.holds(*centres) for centres in itertools.product(*found)]
    if all(holds):
        return None
    if any(holds):
        numbers = (f"{len(centres)} × {scene.names[end]}" for end, centres in zip(ends, found))
        return f"unclear, {' and '.join(numbers)}"
    return f"not {relation.relation.phrase}"
