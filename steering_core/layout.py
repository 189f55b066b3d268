"""Where objects were put on a canvas: their places in the picture, and how they lie to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .editing import NamedObject, between, distinct, find_phrase, numbered
from .parser import objects
from .parts import Part
from .relations import STEERED_NAMES, Place, Relation, Scene, Span, relation_named

#: Most objects of a layout: each pair of them can be related.
MOST_PLACED = 64
_RELATIONS = tuple(relation.value for relation in Relation)


class PlacedObject(NamedTuple):
    """An object on a canvas.

    Attributes:
        name, occurrence: which it is of that name in the prompt, from 0.
        point: where it was put, (x, y) in [0, 1], y downward.
    """

    name: str
    occurrence: int
    point: tuple[float, float]


class Layout(NamedTuple):
    """Objects that were put on a canvas, and what is asked of them.

    Attributes:
        objects: as they were put there.
        relations: subject, relation, object; subject and object as positions among the objects. The object of a place
            is none.
        removed: objects of the prompt that were taken off: nothing is asked of them.
    """

    objects: tuple[PlacedObject, ...]
    relations: tuple[tuple[int, Relation | Place, int | None], ...]
    removed: tuple[NamedObject, ...] = ()


def read_layout(value: Any) -> Layout:
    """A layout from its JSON: ``{"objects": [{"name", "occurrence", "x", "y"}, …], "relations": [[0, "near", 1], [0,
    "at_left", null], …], "removed": [{"name", "occurrence"}, …]}``.

    ``{}`` and None hold nothing. Where an object was put, x and y from 0 to 1, is for the eye, and says which of the
    prompt's places it has left.

    Raises:
        ValueError: the value has another form; says where.
    """
    layout = Part("layout", {} if value is None else value)
    placed, removed = layout.get("objects"), layout.get("removed")
    objects = tuple(_read_placed(part) for part in placed.items(most=MOST_PLACED)) if placed else ()
    related = layout["relations"] if objects else layout.get("relations")
    relations = tuple(_read_triplet(part, len(objects)) for part in related.items()) if related else ()
    taken_off = tuple(NamedObject(*_read_named(part)) for part in removed.items(most=MOST_PLACED)) if removed else ()
    return Layout(objects, relations, taken_off)


def _read_named(part: Part) -> tuple[str, int]:
    return part["name"].text(), part["occurrence"].index()


def _read_placed(part: Part) -> PlacedObject:
    point = part["x"].share(), part["y"].share()
    return PlacedObject(*_read_named(part), point)


def _read_triplet(part: Part, objects: int) -> tuple[int, Relation | Place, int | None]:
    subject, name, object = part.items(3, 3)
    # What relates two is said of two, and a place of one.
    known = STEERED_NAMES if object.value is None else _RELATIONS
    relation = relation_named(name.one_of(known))
    if isinstance(relation, Place):
        return subject.index(objects), relation, None
    triplet = subject.index(objects), relation, object.index(objects)
    if triplet[0] == triplet[2]:
        raise part.unlike("a relation of two objects")
    return triplet


def laid_out(scene: Scene, layout: Layout) -> Scene:
    """The scene with what a layout asks in place of its own; as it is where the layout is empty.

    What the scene states of the place of an object stays as long as the layout gives the object no place of its own,
    and has not put it elsewhere.

    Raises:
        ValueError: an object is not in the prompt.
    """
    known = objects(scene.prompt)
    removed = _taken_off(scene, layout.removed, known)
    kept = [stated for stated in scene.relations if removed.isdisjoint(stated.ends)]
    if layout.objects:
        spans = [find_phrase(scene.prompt, placed.name, placed.occurrence, known) for placed in layout.objects]
        given = {spans[subject] for subject, relation, _ in layout.relations if isinstance(relation, Place)}
        points = {span: placed.point for span, placed in zip(spans, layout.objects) if span not in given}
        kept = [
            stated
            for stated in kept
            if isinstance(stated.relation, Place)
            and stated.subject not in given
            and (stated.subject not in points or stated.relation.holds(points[stated.subject]))
        ]
        kept += [
            between(spans[subject], relation, None if object is None else spans[object])
            for subject, relation, object in layout.relations
        ]
    return replace(scene, relations=distinct(*kept))


def _taken_off(scene: Scene, removed: Sequence[NamedObject], known: Sequence[Span]) -> set[Span]:
    """The objects of a scene that were taken off; one that the prompt names no more is passed over."""
    return {span for span, named in numbered({*known, *scene.objects}).items() if named in removed}
