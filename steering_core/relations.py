"""The vocabulary of spatial relations and its geometry.

Directions follow the image: x grows to the right and y grows downward, both in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import cached_property


class Relation(str, Enum):
    """How the subject lies relative to the object."""

    LEFT_OF = "left_of"
    RIGHT_OF = "right_of"
    ABOVE = "above"
    BELOW = "below"
    ABOVE_LEFT = "above_left"
    ABOVE_RIGHT = "above_right"
    BELOW_LEFT = "below_left"
    BELOW_RIGHT = "below_right"
    NEAR = "near"

    @property
    def direction(self) -> tuple[int, int]:
        """Signs (dx, dy) of subject minus object; 0 where the relation leaves an axis free."""
        return _DIRECTIONS[self]

    @property
    def directions(self) -> tuple[Relation, ...]:
        """The one or two of left, right, above and below that it is made of; none for ``NEAR``."""
        dx, dy = self.direction
        return tuple(_BY_DIRECTION[part] for part, sign in (((0, dy), dy), ((dx, 0), dx)) if sign)

    @property
    def inverse(self) -> Relation:
        """The relation of the object to the subject."""
        dx, dy = self.direction
        return _BY_DIRECTION[-dx, -dy]

    @property
    def phrase(self) -> str:
        """The relation in words, to be put between two noun phrases."""
        return _PHRASES[self]

    def holds(self, subject: tuple[float, float], object: tuple[float, float]) -> bool:
        """Whether two centres (x, y) stand in this relation, as VISOR judges it.

        A direction holds when the centres differ strictly in its sign (Gokhale et al. 2022, VISOR,
        section 3); a diagonal when both of its directions do; ``NEAR`` when the distance is at
        most ``NEAR_DISTANCE``.
        """
        displacement = self.displacement(subject, object)
        return displacement >= 0 if self is Relation.NEAR else displacement > 0

    def displacement(self, subject: tuple[float, float], object: tuple[float, float]) -> float:
        """By how much two centres (x, y) stand in this relation, negative where they don't.

        InfSplign eq. 8: how far the subject lies to the relation's side; of a diagonal the smaller of its
        two directions. For ``NEAR``, by how much the distance is less than ``NEAR_DISTANCE``.
        """
        dx, dy = subject[0] - object[0], subject[1] - object[1]
        if self is Relation.NEAR:
            return NEAR_DISTANCE - math.hypot(dx, dy)
        return min(part * sign for part, sign in zip((dx, dy), self.direction) if sign)


#: Centres at most this far apart, in widths of the image, count as near each other.
NEAR_DISTANCE = 0.5

_DIRECTIONS = {
    Relation.LEFT_OF: (-1, 0),
    Relation.RIGHT_OF: (1, 0),
    Relation.ABOVE: (0, -1),
    Relation.BELOW: (0, 1),
    Relation.ABOVE_LEFT: (-1, -1),
    Relation.ABOVE_RIGHT: (1, -1),
    Relation.BELOW_LEFT: (-1, 1),
    Relation.BELOW_RIGHT: (1, 1),
    Relation.NEAR: (0, 0),
}
_BY_DIRECTION = {direction: relation for relation, direction in _DIRECTIONS.items()}

_PHRASES = {
    Relation.LEFT_OF: "to the left of",
    Relation.RIGHT_OF: "to the right of",
    Relation.ABOVE: "above",
    Relation.BELOW: "below",
    Relation.ABOVE_LEFT: "above and to the left of",
    Relation.ABOVE_RIGHT: "above and to the right of",
    Relation.BELOW_LEFT: "below and to the left of",
    Relation.BELOW_RIGHT: "below and to the right of",
    Relation.NEAR: "next to",
}


def with_article(name: str) -> str:
    """ "a dog", "an airplane"."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


#: The four relations of the VISOR benchmark.
CARDINAL_RELATIONS = (Relation.LEFT_OF, Relation.RIGHT_OF, Relation.ABOVE, Relation.BELOW)


@dataclass(frozen=True)
class Span:
    """A piece of the prompt: its text, and the half-open character range that holds it."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class SpatialRelation:
    """One triplet of a prompt: subject, relation, object."""

    subject: Span
    relation: Relation
    object: Span

    def __str__(self) -> str:
        return f"{self.subject.text} {self.relation.phrase} {self.object.text}"


@dataclass(frozen=True)
class Scene:
    """A prompt and the spatial relations that it states, in reading order."""

    prompt: str
    relations: tuple[SpatialRelation, ...]

    @cached_property
    def objects(self) -> tuple[Span, ...]:
        """The distinct object phrases of the relations, in reading order."""
        spans = {span for r in self.relations for span in (r.subject, r.object)}
        return tuple(sorted(spans, key=lambda span: span.start))


def relation_scene(subject: str, relation: Relation, object: str) -> Scene:
    """The scene of "a photo of a SUBJECT RELATION an OBJECT", whatever the names are."""
    prompt = "a photo of "
    spans = []
    for name, rest in ((subject, f" {relation.phrase} "), (object, "")):
        prompt += with_article(name).removesuffix(name)
        spans.append(Span(name, len(prompt), len(prompt) + len(name)))
        prompt += name + rest
    return Scene(prompt, (SpatialRelation(spans[0], relation, spans[1]),))
