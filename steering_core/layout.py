"""Where objects were put on a canvas: their places in the picture, and how they lie to each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .detection.boxes import Point
from .editing import between, distinct
from .files.parts import Part
from .object_names import by_noun, find_phrases
from .parser import objects
from .relations.named import NamedObject, numbered
from .relations.names import RELATION_NAMES, STEERED_NAMES, relation_named
from .relations.place import Place
from .relations.relation import Relation
from .relations.scene import Scene
from .relations.statement import Span, SpatialRelation, ends
from .wording import shortened

#: Most objects of a layout: each pair of them can be related.
MOST_PLACED = 64
#: Objects that were put closer to each other, in widths of the picture, are to be next to each other.
TOUCHING_DISTANCE = 0.2


class PlacedObject(NamedTuple):
    """An object on a canvas.

    Attributes:
        point: where it was put, (x, y) in [0, 1], y downward.
    """

    named: NamedObject
    point: Point


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
    taken_off = tuple(_read_named(part) for part in removed.items(most=MOST_PLACED)) if removed else ()
    return Layout(objects, relations, taken_off)


def _read_named(part: Part) -> NamedObject:
    return NamedObject(part["name"].text(), part["occurrence"].index())


def _read_placed(part: Part) -> PlacedObject:
    point = part["x"].share(), part["y"].share()
    return PlacedObject(_read_named(part), point)


def _read_triplet(part: Part, objects: int) -> tuple[int, Relation | Place, int | None]:
    subject, name, object = part.items(3, 3)
    # What relates two is said of two, and a place of one.
    known = STEERED_NAMES if object.value is None else RELATION_NAMES
    relation = relation_named(name.one_of(known))
    if isinstance(relation, Place):
        return subject.index(objects), relation, None
    triplet = subject.index(objects), relation, object.index(objects)
    if triplet[0] == triplet[2]:
        raise part.unlike("a relation of two objects")
    return triplet


def laid_out(scene: Scene, layout: Layout) -> Scene:
    """The scene with what a layout asks in place of its own; as it is where the layout is empty.

    What the scene states of an object's place stays as long as the layout gives the object no place of its own, and has
    not put it elsewhere. What it states of two objects stays as long as the layout does not relate them; where both
    were put somewhere, they are related as they lie there. Objects that the prompt does not name are passed over, and
    told (``Scene.absent``): a prompt can change, or be one of several. Of those that were taken off nothing is asked.
    """
    known = objects(scene.prompt)
    removed = _taken_off(scene, layout.removed, known)
    spans, absent = _found(scene.prompt, layout.objects, known, removed)
    spans = {at: span for at, span in spans.items() if span not in removed}
    points = {span: layout.objects[at].point for at, span in spans.items()}
    asked = [
        between(spans[subject], relation, None if object is None else spans[object])
        for subject, relation, object in layout.relations
        if all(end in spans for end in ends(subject, object))
    ]
    settled = {frozenset(one.ends) for one in asked}
    stated = [one for one in scene.relations if removed.isdisjoint(one.ends) and frozenset(one.ends) not in settled]
    kept = [one for said in stated if (one := _as_it_lies(said, points))]
    return replace(scene, relations=distinct(*kept, *asked), absent=(*scene.absent, *absent))


def _found(
    prompt: str, placed: Sequence[PlacedObject], known: Sequence[Span], removed: set[Span]
) -> tuple[dict[int, Span], Sequence[str]]:
    """Where placed objects stand in a prompt, by their positions in the layout; and the names of the others, which are
    not there, or stand for an object that another has taken.
    """
    spans = dict[int, Span]()
    for at, one in enumerate(placed):
        meant = _meant(prompt, one.named, known, removed)
        if meant and meant not in spans.values():
            spans[at] = meant
    return spans, [shortened(str(one.named)) for at, one in enumerate(placed) if at not in spans]


def _meant(prompt: str, placed: NamedObject, known: Sequence[Span], removed: set[Span]) -> Span | None:
    """Where a placed object stands in a prompt, if it does. One that was taken off is not meant by its noun, but the
    words are, which another name of it can be.
    """
    found = find_phrases(prompt, placed.name, known)[placed.occurrence :][:1]
    if removed.intersection(found) and found[0].text.casefold() != placed.name.strip().casefold():
        found = find_phrases(prompt, placed.name, ())[placed.occurrence :][:1]
    return found[0] if found else None


def _as_it_lies(stated: SpatialRelation, points: Mapping[Span, Point]) -> SpatialRelation | None:
    """What is left of a statement once objects were put at points, of which nothing else is asked."""
    if any(end not in points for end in stated.ends):
        return stated
    at = [points[end] for end in stated.ends]
    if isinstance(stated.relation, Place):
        return stated if stated.relation.holds(*at) else None
    return replace(stated, relation=_relation_at(*at))


def _relation_at(subject: Point, object: Point) -> Relation:
    """How two points lie to each other: in the closest of the eight directions, or next to each other."""
    offset = subject[0] - object[0], subject[1] - object[1]
    return Relation.NEAR if math.hypot(*offset) < TOUCHING_DISTANCE else Relation.towards(offset)


def _taken_off(scene: Scene, removed: Sequence[NamedObject], known: Sequence[Span]) -> set[Span]:
    """The objects of a scene that were taken off, by their names or nouns; one that it has no more is passed over."""
    spans = {named: span for span, named in numbered({*known, *scene.objects}).items()}
    found = set[Span]()
    for one in removed:
        meant = [spans[one]] if one in spans else by_noun(scene.prompt, one.name, known)[one.occurrence :][:1]
        found.update(meant)
    return found
