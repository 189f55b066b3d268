"""A prompt with what it states of places."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .relation import Relation
from .statement import DepthRelation, Span, SpatialRelation
from .wording import with_article


@dataclass(frozen=True)
class Scene:
    """A prompt and what it states of places.

    Attributes:
        relations: between objects and of objects to the picture, in reading order.
        depth: what else it states, in reading order; it is told and not steered.
        absent: names of objects that were put somewhere, and that the prompt does not name.
        left_out: relations that were read and are not among these, in words, each with why.
        written: the prompt as it was written, where parts of it are blanked or cut out in the one that is read;
            empty where none is.
    """

    prompt: str
    relations: tuple[SpatialRelation, ...]
    depth: tuple[DepthRelation, ...] = ()
    absent: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
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
        """A line for all that is not steered: what was read and is not, and each object that the prompt lacks."""
        read = (f"read, but not steered: {stated}" for stated in (*self.depth, *self.left_out))
        return (*read, *(f"placed, but not in the prompt: {name}" for name in self.absent))


def relation_scene(subject: str, relation: Relation, object: str) -> Scene:
    """The scene of "a photo of a SUBJECT RELATION an OBJECT", whatever the names are."""
    prompt = "a photo of "
    spans = []
    for name, rest in ((subject, f" {relation.phrase} "), (object, "")):
        prompt += with_article(name).removesuffix(name)
        spans.append(Span(name, len(prompt), len(prompt) + len(name)))
        prompt += name + rest
    return Scene(prompt, (SpatialRelation(spans[0], relation, spans[1]),))
