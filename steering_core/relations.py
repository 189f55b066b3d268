"""The vocabulary of spatial relations and its geometry.

Directions follow the image: x grows to the right and y grows downward, both in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TypeVar

End = TypeVar("End")


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

    @classmethod
    def of(cls, direction: tuple[int, int]) -> Relation:
        """The relation of a direction."""
        return _BY_DIRECTION[direction]

    @property
    def direction(self) -> tuple[int, int]:
        """Signs (dx, dy) of subject minus object; 0 where the relation leaves an axis free."""
        return _DIRECTIONS[self]

    @property
    def directions(self) -> tuple[Relation, ...]:
        """The one or two of left, right, above and below that it is made of; none for ``NEAR``."""
        dx, dy = self.direction
        return tuple(Relation.of(part) for part, sign in (((0, dy), dy), ((dx, 0), dx)) if sign)

    @property
    def inverse(self) -> Relation:
        """The relation of the object to the subject."""
        dx, dy = self.direction
        return Relation.of((-dx, -dy))

    @property
    def phrase(self) -> str:
        """The relation in words, to be put between two noun phrases."""
        return _PHRASES[self]

    @property
    def reach(self) -> float:
        """Of a relation without a direction: how far apart centres may be that stand in it, in widths of the image."""
        return NEAR_DISTANCE

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
        return _displacement(self, (subject[0] - object[0], subject[1] - object[1]))


class Place(str, Enum):
    """Where an object lies in the picture: a relation of it to the picture's middle, and to no other object."""

    AT_LEFT = "at_left"
    AT_RIGHT = "at_right"
    AT_TOP = "at_top"
    AT_BOTTOM = "at_bottom"
    AT_CENTER = "at_center"
    AT_TOP_LEFT = "at_top_left"
    AT_TOP_RIGHT = "at_top_right"
    AT_BOTTOM_LEFT = "at_bottom_left"
    AT_BOTTOM_RIGHT = "at_bottom_right"

    @classmethod
    def of(cls, direction: tuple[int, int]) -> Place:
        """The place of a direction."""
        return _PLACE_BY_DIRECTION[direction]

    @property
    def direction(self) -> tuple[int, int]:
        """Signs (dx, dy) of the object minus the middle; 0 where an axis is free, and both for ``AT_CENTER``."""
        return _PLACE_DIRECTIONS[self]

    @property
    def phrase(self) -> str:
        """The place in words, to be put after a noun phrase."""
        return _PLACE_PHRASES[self]

    @property
    def reach(self) -> float:
        """Of the center: how far from the middle a centre may be that lies there, in widths of the image."""
        return CENTER_DISTANCE

    def holds(self, subject: tuple[float, float]) -> bool:
        """Whether a centre (x, y) lies there.

        As VISOR judges relations: at a side when it lies strictly beyond the middle to that side, in a corner when it
        does so on both axes; in the center when it is at most ``CENTER_DISTANCE`` from the middle.
        """
        displacement = self.displacement(subject)
        return displacement >= 0 if self is Place.AT_CENTER else displacement > 0

    def displacement(self, subject: tuple[float, float]) -> float:
        """By how much a centre (x, y) lies there, in widths of the image, negative where it doesn't.

        How far it is beyond the middle, 0.5 at the picture's edge; of a corner the smaller of both axes. For
        ``AT_CENTER``, by how much its distance to the middle is less than ``CENTER_DISTANCE``.
        """
        return _displacement(self, (subject[0] - MIDDLE[0], subject[1] - MIDDLE[1]))


class Depth(str, Enum):
    """What is nearer to the viewer. It is read and told, but nothing steers it: no axis of the picture holds it."""

    IN_FRONT_OF = "in_front_of"
    BEHIND = "behind"
    IN_FOREGROUND = "in_foreground"
    IN_BACKGROUND = "in_background"

    @property
    def phrase(self) -> str:
        """In words, to be put after a noun phrase, and before another where it relates two."""
        return _DEPTH_PHRASES[self]

    @property
    def inverse(self) -> Depth:
        """Of what relates two: the depth of the object to the subject."""
        return Depth.BEHIND if self is Depth.IN_FRONT_OF else Depth.IN_FRONT_OF


Steered = TypeVar("Steered", Relation, Place)


def _displacement(relation: Relation | Place, offset: tuple[float, float]) -> float:
    """How far an offset (dx, dy) goes in a relation's direction; without one, how far it falls short of its reach."""
    if not any(relation.direction):
        far = relation.reach - math.hypot(*offset)
    else:
        far = min(part * sign for part, sign in zip(offset, relation.direction) if sign)
    return round(far, _DIGITS)


#: Decimals of a share of the picture's width beyond which there is but what rounding has left: centres of pixels that
#: are the same must not differ.
_DIGITS = 10
#: Of the picture, (x, y).
MIDDLE = (0.5, 0.5)

#: Centres at most this far apart, in widths of the image, count as near each other.
NEAR_DISTANCE = 0.5
#: A centre at most this far from the middle, in widths of the image, lies in the center: a circle somewhat larger than
#: the middle one of nine fields.
CENTER_DISTANCE = 0.2

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

_PLACE_DIRECTIONS = {
    Place.AT_LEFT: (-1, 0),
    Place.AT_RIGHT: (1, 0),
    Place.AT_TOP: (0, -1),
    Place.AT_BOTTOM: (0, 1),
    Place.AT_CENTER: (0, 0),
    Place.AT_TOP_LEFT: (-1, -1),
    Place.AT_TOP_RIGHT: (1, -1),
    Place.AT_BOTTOM_LEFT: (-1, 1),
    Place.AT_BOTTOM_RIGHT: (1, 1),
}
_PLACE_BY_DIRECTION = {direction: place for place, direction in _PLACE_DIRECTIONS.items()}

_PLACE_PHRASES = {
    Place.AT_LEFT: "on the left",
    Place.AT_RIGHT: "on the right",
    Place.AT_TOP: "at the top",
    Place.AT_BOTTOM: "at the bottom",
    Place.AT_CENTER: "in the center",
    Place.AT_TOP_LEFT: "in the upper left corner",
    Place.AT_TOP_RIGHT: "in the upper right corner",
    Place.AT_BOTTOM_LEFT: "in the lower left corner",
    Place.AT_BOTTOM_RIGHT: "in the lower right corner",
}

_DEPTH_PHRASES = {
    Depth.IN_FRONT_OF: "in front of",
    Depth.BEHIND: "behind",
    Depth.IN_FOREGROUND: "in the foreground",
    Depth.IN_BACKGROUND: "in the background",
}


def along(known: Iterable[Steered], offset: tuple[float, float]) -> Steered:
    """The relation or place whose direction is closest to an offset (dx, dy), of those that have one."""

    def likeness(one: Steered) -> float:
        x, y = one.direction
        return (offset[0] * x + offset[1] * y) / math.hypot(x, y)

    return max((one for one in known if any(one.direction)), key=likeness)


def ends(subject: End, object: End | None) -> tuple[End, ...]:
    """What a relation is of: subject and object, or the subject alone where it is a place, which has no object."""
    return (subject,) if object is None else (subject, object)


def in_words(subject: str, phrase: str, object: str | None) -> str:
    """What is said of a subject, and of an object if it needs one, as a clause."""
    return " ".join((subject, phrase) if object is None else (subject, phrase, object))


#: Of relations, of places, and of all that can be steered.
RELATION_NAMES = tuple(relation.value for relation in Relation)
PLACE_NAMES = tuple(place.value for place in Place)
STEERED_NAMES = (*RELATION_NAMES, *PLACE_NAMES)


def relation_named(name: str) -> Relation | Place:
    """The relation or place of a name such as "left_of" or "at_left".

    Raises:
        ValueError: there is none.
    """
    return Place(name) if name in PLACE_NAMES else Relation(name)


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

    @classmethod
    def of(cls, prompt: str, start: int, end: int) -> Span:
        """What a prompt has in a range."""
        return cls(prompt[start:end], start, end)


@dataclass(frozen=True)
class Statement:
    """What a prompt says of a subject, and of an object if it needs one."""

    subject: Span
    relation: Relation | Place | Depth
    object: Span | None

    @property
    def ends(self) -> tuple[Span, ...]:
        """Subject and object; the subject alone where there is no object."""
        return ends(self.subject, self.object)

    @property
    def object_text(self) -> str | None:
        """The object's phrase."""
        return None if self.object is None else self.object.text

    def __str__(self) -> str:
        return in_words(self.subject.text, self.relation.phrase, self.object_text)


@dataclass(frozen=True)
class SpatialRelation(Statement):
    """One triplet of a prompt: subject, relation, object; or subject and place, and no object.

    Raises:
        ValueError: a relation lacks its object, or a place has one.
    """

    relation: Relation | Place

    def __post_init__(self) -> None:
        check_object(self.relation, self.object)


@dataclass(frozen=True)
class DepthRelation(Statement):
    """What a prompt says of depth, which is not steered. The foreground and the background have no object."""

    relation: Depth


@dataclass(frozen=True)
class Scene:
    """A prompt and what it states of places.

    Attributes:
        relations: between objects and of objects to the picture, in reading order.
        depth: what else it states, in reading order; it is told and not steered.
        absent: names of objects that were put somewhere, and that the prompt does not name.
        written: the prompt as it was written, of the same length, where parts of it are blanked in the one that is
            read; empty where none is.
    """

    prompt: str
    relations: tuple[SpatialRelation, ...]
    depth: tuple[DepthRelation, ...] = ()
    absent: tuple[str, ...] = ()
    written: str = ""

    @property
    def as_written(self) -> str:
        """The prompt, for a person to read."""
        return self.written or self.prompt

    @cached_property
    def objects(self) -> tuple[Span, ...]:
        """The distinct object phrases of the relations, in reading order."""
        spans = {span for relation in self.relations for span in relation.ends}
        return tuple(sorted(spans, key=lambda span: span.start))

    @property
    def unsteered(self) -> tuple[str, ...]:
        """A line for all that is not steered: each depth that was read, and each object that the prompt lacks."""
        read = (f"read, but not steered: {depth}" for depth in self.depth)
        return (*read, *(f"placed, but not in the prompt: {name}" for name in self.absent))


def said_of(subject: Span, relation: Relation | Place | Depth, object: Span | None) -> SpatialRelation | DepthRelation:
    """What a prompt says of places, or of depth.

    Raises:
        ValueError: a relation lacks its object, or a place has one.
    """
    if isinstance(relation, Depth):
        return DepthRelation(subject, relation, object)
    return SpatialRelation(subject, relation, object)


def check_object(relation: Relation | Place, object: Span | str | int | None) -> None:
    """Refuse what is neither a relation of two objects nor a place of one.

    Raises:
        ValueError: names the relation, and says what is too many or missing.
    """
    if isinstance(relation, Place) and object is not None:
        raise ValueError(f"object: none was expected with {relation.value}, a place in the picture. Leave it empty.")
    if isinstance(relation, Relation) and object is None:
        raise ValueError(f"object: {relation.value} relates two objects, and none was given. Name one.")


def relation_scene(subject: str, relation: Relation, object: str) -> Scene:
    """The scene of "a photo of a SUBJECT RELATION an OBJECT", whatever the names are."""
    prompt = "a photo of "
    spans = []
    for name, rest in ((subject, f" {relation.phrase} "), (object, "")):
        prompt += with_article(name).removesuffix(name)
        spans.append(Span(name, len(prompt), len(prompt) + len(name)))
        prompt += name + rest
    return Scene(prompt, (SpatialRelation(spans[0], relation, spans[1]),))
