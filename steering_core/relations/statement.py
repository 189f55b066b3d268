"""What a prompt says of its objects: statements of relations, places and depths, with where in the prompt each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from .depth import Depth
from .place import Place
from .relation import Relation
from .wording import clause

End = TypeVar("End")


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
        return clause(self.subject.text, self.relation.phrase, self.object_text)


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


def statement_of(
    subject: Span, relation: Relation | Place | Depth, object: Span | None
) -> SpatialRelation | DepthRelation:
    """What a prompt says of places, or of depth.

    Raises:
        ValueError: a relation lacks its object, or a place has one.
    """
    if isinstance(relation, Depth):
        return DepthRelation(subject, relation, object)
    return SpatialRelation(subject, relation, object)


def ends(subject: End, object: End | None) -> tuple[End, ...]:
    """What a relation is of: subject and object, or the subject alone where it is a place, which has no object."""
    return (subject,) if object is None else (subject, object)


def check_object(relation: Relation | Place, object: Span | str | int | None) -> None:
    """Refuse what is neither a relation of two objects nor a place of one.

    Raises:
        ValueError: names the relation, and says what is too many or missing.
    """
    if isinstance(relation, Place) and object is not None:
        raise ValueError(f"object: none was expected with {relation.value}, a place in the picture. Leave it empty.")
    if isinstance(relation, Relation) and object is None:
        raise ValueError(f"object: {relation.value} relates two objects, and none was given. Name one.")
