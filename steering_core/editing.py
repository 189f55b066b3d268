"""Relations that a person makes: added by hand, changed, switched off, or laid out on a canvas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from .parser import objects, parse
from .relations import Relation, Scene, Span, SpatialRelation

_NAMES = ", ".join(relation.value for relation in Relation)


def find_phrase(prompt: str, phrase: str, occurrence: int = 0) -> Span:
    """Where a phrase stands in a prompt, in any language.

    Args:
        occurrence: which one, from 0: of the objects with this very name, else of the words, else of the letters.

    Raises:
        ValueError: it does not stand there so often.
    """
    escaped = re.escape(phrase.strip())
    named = [span for span in objects(prompt) if span.text.casefold() == phrase.strip().casefold()]
    for pattern in (rf"(?<!\w){escaped}(?!\w)", escaped):
        # Where words are not set apart by spaces, there are only letters to go by.
        named = named or [Span(m.group(), *m.span()) for m in re.finditer(pattern, prompt, re.IGNORECASE) if m.group()]
    if occurrence >= len(named):
        raise ValueError(
            f'"{phrase}" was expected {_times(occurrence + 1)} in the prompt "{prompt}", and stands there '
            f"{_times(len(named))}. Name an object with words of the prompt, spelled as they are there."
        )
    return named[occurrence]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def with_relation(scene: Scene, subject: str, relation: Relation, object: str) -> Scene:
    """The scene with one relation more, between two phrases of its prompt.

    Raises:
        ValueError: a phrase is not in the prompt, or both are the same.
    """
    spans = find_phrase(scene.prompt, subject), find_phrase(scene.prompt, object)
    return replace(scene, relations=_distinct(*scene.relations, _between(spans[0], relation, spans[1])))


class RelationEdit(NamedTuple):
    """What is wanted in the place of a relation that was read."""

    read: tuple[str, Relation, str]
    wanted: Relation
    on: bool


def read_edits(value: Mapping[str, Any]) -> list[RelationEdit]:
    """Edits from their JSON: ``{"relations": [{"subject", "relation", "object", "wanted", "on"}, …]}``.

    Raises:
        ValueError: the value has another form.
    """
    try:
        return [
            RelationEdit(
                (row["subject"], Relation(row["relation"]), row["object"]), Relation(row["wanted"]), bool(row["on"])
            )
            for row in value.get("relations", [])
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"edits: relations were expected, each with subject, relation, object, wanted and on, where relation and "
            f"wanted are among {_NAMES}; {error!r} in {value}."
        ) from error


def edited(scene: Scene, edits: Iterable[RelationEdit]) -> Scene:
    """The scene with relations switched off or changed.

    A relation without an edit stays; an edit of what is not read any more is passed over.
    """
    left, kept = list(edits), []
    for relation in scene.relations:
        read = (relation.subject.text, relation.relation, relation.object.text)
        edit = next((edit for edit in left if edit.read == read), None)
        if edit is None:
            kept.append(relation)
            continue
        left.remove(edit)  # of two relations in the same words, each has an edit of its own
        if edit.on:
            kept.append(replace(relation, relation=edit.wanted))
    return replace(scene, relations=_distinct(*kept))


class Layout(NamedTuple):
    """Relations between objects that were put on a canvas.

    Attributes:
        objects: name, and which object of that name it is, from 0.
        relations: subject, relation, object; subject and object as positions among the objects.
    """

    objects: tuple[tuple[str, int], ...]
    relations: tuple[tuple[int, Relation, int], ...]


def read_layout(value: Mapping[str, Any]) -> Layout:
    """A layout from its JSON: ``{"objects": [{"name", "occurrence"}, …], "relations": [[0, "above", 1], …]}``.

    Raises:
        ValueError: the value has another form.
    """
    try:
        objects = tuple((str(placed["name"]), int(placed["occurrence"])) for placed in value.get("objects", []))
        relations = tuple((int(a), Relation(relation), int(b)) for a, relation, b in value.get("relations", []))
        if not all(0 <= index < len(objects) for a, _, b in relations for index in (a, b)):
            raise IndexError(f"a relation of an object beyond the {len(objects)}")
        if any(occurrence < 0 for _, occurrence in objects) or any(a == b for a, _, b in relations):
            raise ValueError("a negative occurrence, or a relation of an object to itself")
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise ValueError(
            f"layout: objects, each with name and occurrence, and relations, each [object, relation, object] with "
            f"positions among the objects and one of {_NAMES}, were expected; {error!r} in {value}."
        ) from error
    return Layout(objects, relations)


def laid_out(scene: Scene, layout: Layout) -> Scene:
    """The scene with the relations of a layout in place of its own; as it is where the layout is empty.

    Raises:
        ValueError: an object is not in the prompt.
    """
    if not layout.objects:
        return scene
    spans = [find_phrase(scene.prompt, *named) for named in layout.objects]
    between = (_between(spans[a], relation, spans[b]) for a, relation, b in layout.relations)
    return replace(scene, relations=_distinct(*between))


def described(prompt: str) -> dict[str, Any]:
    """What a front end needs of a prompt, as JSON: its objects, and its relations by their positions among these."""
    spans = objects(prompt)
    texts = [span.text for span in spans]
    return {
        "objects": [{"name": text, "occurrence": texts[:index].count(text)} for index, text in enumerate(texts)],
        "relations": [
            [spans.index(relation.subject), relation.relation.value, spans.index(relation.object)]
            for relation in parse(prompt).relations
        ],
    }


def vocabulary() -> list[dict[str, Any]]:
    """All relations as JSON: name, words, and the signs (dx, dy) of subject minus object, y downward."""
    return [
        {"name": relation.value, "phrase": relation.phrase, "direction": list(relation.direction)}
        for relation in Relation
    ]


def _between(subject: Span, relation: Relation, object: Span) -> SpatialRelation:
    if subject == object:
        raise ValueError(f'"{subject.text}" was given as both subject and object. Name two objects.')
    return SpatialRelation(subject, relation, object)


def _distinct(*relations: SpatialRelation) -> tuple[SpatialRelation, ...]:
    return tuple(dict.fromkeys(relations))
