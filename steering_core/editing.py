"""Relations that a person makes: added by hand, changed, or switched off."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from .files.parts import Part
from .object_names import find_phrase
from .parser import objects
from .relations.names import PLACE_NAMES, RELATION_NAMES, STEERED_NAMES, relation_named
from .relations.place import Place
from .relations.relation import Relation
from .relations.scene import Scene
from .relations.statement import Span, SpatialRelation, check_object, ends


def with_relation(scene: Scene, subject: str, relation: Relation | Place, object: str | None = None) -> Scene:
    """The scene with one relation more, between two phrases of its prompt; or with one's place, and no object.

    Raises:
        ValueError: a phrase is not in the prompt, both are the same, or an object is missing or too many.
    """
    check_object(relation, object)
    known = objects(scene.prompt)
    spans = [find_phrase(scene.prompt, phrase, known=known, written=scene.written) for phrase in ends(subject, object)]
    return replace(scene, relations=distinct(*scene.relations, between(spans[0], relation, *spans[1:])))


class RelationEdit(NamedTuple):
    """What is wanted in the place of a relation that was read."""

    read: tuple[str, Relation | Place, str | None]
    wanted: Relation | Place
    on: bool


def read_edits(value: Any) -> list[RelationEdit]:
    """Edits from their JSON: ``{"relations": [{"subject", "relation", "object", "wanted", "on"}, …]}``.

    The object of a place is null, and what is wanted in its stead another place. ``{}`` and None hold none.

    Raises:
        ValueError: the value has another form; says where.
    """
    rows = Part("edits", {} if value is None else value).get("relations")
    return [_read_edit(row) for row in rows.items()] if rows else []


def _read_edit(row: Part) -> RelationEdit:
    subject, relation = row["subject"].text(), _read_relation(row["relation"])
    if isinstance(relation, Place):
        row["object"].nothing()
        wanted = row["wanted"].one_of(PLACE_NAMES)
        return RelationEdit((subject, relation, None), Place(wanted), row["on"].switch())
    object, wanted = row["object"].text(), row["wanted"].one_of(RELATION_NAMES)
    return RelationEdit((subject, relation, object), Relation(wanted), row["on"].switch())


def _read_relation(part: Part) -> Relation | Place:
    return relation_named(part.one_of(STEERED_NAMES))


def edited(scene: Scene, edits: Iterable[RelationEdit]) -> Scene:
    """The scene with relations switched off or changed.

    A relation without an edit stays; an edit of what is not read any more is passed over.
    """
    left = defaultdict[tuple[str, Relation | Place, str | None], deque[RelationEdit]](deque)
    for edit in edits:
        left[edit.read].append(edit)
    kept = []
    for relation in scene.relations:
        same = left[relation.subject.text, relation.relation, relation.object_text]
        if not same:
            kept.append(relation)
            continue
        edit = same.popleft()  # of two relations in the same words, each has an edit of its own
        if edit.on:
            kept.append(replace(relation, relation=edit.wanted))
    return replace(scene, relations=distinct(*kept))


def between(subject: Span, relation: Relation | Place, object: Span | None = None) -> SpatialRelation:
    """The relation of two phrases, or the place of one.

    Raises:
        ValueError: both are the same.
    """
    if subject == object:
        raise ValueError(f'"{subject.text}" was given as both subject and object. Name two objects.')
    return SpatialRelation(subject, relation, object)


def distinct(*relations: SpatialRelation) -> tuple[SpatialRelation, ...]:
    """Each relation once, in their order."""
    return tuple(dict.fromkeys(relations))
