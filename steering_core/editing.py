"""Relations that a person makes: added by hand, changed, or switched off."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .parser import objects, parse
from .parts import Part
from .relations import (
    PLACE_NAMES,
    RELATION_NAMES,
    STEERED_NAMES,
    Place,
    Relation,
    Scene,
    Span,
    SpatialRelation,
    check_object,
    ends,
    relation_named,
)
from .wording import shortened

#: Most letters of a name that is looked for letter by letter.
LONGEST_PHRASE = 300
#: Letters of scripts that set no words apart, or no particles: Thai, Lao, Burmese, Khmer, Kana, Han and Hangul.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
#: An article before a phrase, and brackets of emphasis; and how many letters before it are looked at.
_ARTICLE, _ARTICLE_LETTERS = re.compile(r"(?<!\w)(?:an?|the)\s+[(\[]*$", re.IGNORECASE), 20


class NamedObject(NamedTuple):
    """An object by its words.

    Attributes:
        name, occurrence: which it is of that name in the prompt, from 0.
    """

    name: str
    occurrence: int

    def __str__(self) -> str:
        """The name, with a number from the second of it on."""
        return f"{self.name} {self.occurrence + 1}" if self.occurrence else self.name


def numbered(spans: Iterable[Span]) -> dict[Span, NamedObject]:
    """Each of a prompt's objects by its name, and which one of that name it is."""
    seen = Counter[str]()
    named = {}
    for span in sorted(spans, key=lambda span: span.start):
        named[span] = NamedObject(span.text, seen[span.text])
        seen[span.text] += 1
    return named


def find_phrase(
    prompt: str, phrase: str, occurrence: int = 0, known: Sequence[Span] | None = None, written: str = ""
) -> Span:
    """Where a phrase stands in a prompt.

    Args:
        occurrence: which one of ``find_phrases``, from 0.
        known: the prompt's ``objects``, where they have been read before.
        written: see ``Scene``.

    Raises:
        ValueError: it does not stand there so often, or is too long for a name.
    """
    named = find_phrases(prompt, phrase, objects(prompt) if known is None else known)
    if not named and len(phrase) > LONGEST_PHRASE:
        raise ValueError(
            f'"{shortened(phrase, LONGEST_PHRASE)}": a name of at most {LONGEST_PHRASE} letters was expected, and has '
            f"{len(phrase)}. Name an object with a few words of the prompt."
        )
    if occurrence >= len(named):
        raise ValueError(
            f'"{" ".join(phrase.splitlines())}" was expected {_times(occurrence + 1)} in the prompt '
            f'"{shortened(written or prompt)}", and stands there {_times(len(named))}.'
            " Name an object with words of the prompt, spelled as they are there."
        )
    return named[occurrence]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def find_phrases(prompt: str, phrase: str, known: Sequence[Span]) -> list[Span]:
    """All that a phrase can stand for in a prompt, in any language, in their order: the objects with this very name,
    else the described things whose names end with it ("giraffe" for the red giraffe), else the words, else the letters,
    where it is of a script that sets no words apart.

    Args:
        known: the prompt's ``objects``. Elsewhere a name of more than ``LONGEST_PHRASE`` letters is not looked for.
    """
    wanted = phrase.strip()
    escaped = re.escape(wanted)
    # By the very letters first, as they are counted: "Dog on the left, dog on the right" names two.
    named = [span for span in known if span.text == wanted]
    named = named or [span for span in known if span.text.casefold() == wanted.casefold()]
    named = named or by_noun(prompt, wanted, known)
    if len(wanted) > LONGEST_PHRASE:
        return named
    # "hat" is not in "that".
    patterns = [rf"(?<!\w){escaped}(?!\w)", *([escaped] if UNSPACED.search(wanted) else [])]
    for pattern in patterns:
        named = named or [Span(m.group(), *m.span()) for m in re.finditer(pattern, prompt, re.IGNORECASE) if m.group()]
    return named


def by_noun(prompt: str, noun: str, known: Sequence[Span]) -> list[Span]:
    """The described things whose names end with a noun, in their order.

    Args:
        known: the prompt's ``objects``.
    """
    names, ending = described_names(prompt, known), f" {noun.casefold()}"
    return [span for span in known if span.text in names and span.text.casefold().endswith(ending)]


def described_names(prompt: str, known: Iterable[Span]) -> set[str]:
    """The names of objects that can be meant by their ends: those that stand after an English article somewhere.

    In other languages what is read as one phrase may be a whole clause.
    """
    return {span.text for span in known if _ARTICLE.search(prompt[max(0, span.start - _ARTICLE_LETTERS) : span.start])}


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


def prompt_as_json(prompt: str) -> dict[str, Any]:
    """What a front end needs of a prompt, as JSON: its objects, its ``described_names``, its relations by
    the objects' positions, and what was read and is not steered, in words.

    The object of a place is null.

    Raises:
        TypeError: the prompt is not a string.
    """
    named = numbered(objects(prompt))
    positions = {span: position for position, span in enumerate(named)}
    scene = parse(prompt)
    return {
        "objects": [one._asdict() for one in named.values()],
        "described": sorted(described_names(prompt, named)),
        "unsteered": [str(depth) for depth in scene.depth],
        "relations": [
            [
                positions[relation.subject],
                relation.relation.value,
                None if relation.object is None else positions[relation.object],
            ]
            for relation in scene.relations
        ],
    }


def vocabulary() -> list[dict[str, Any]]:
    """All relations and places as JSON: name, words, the signs (dx, dy) of subject minus object, or of a place minus
    the picture's middle, y downward; how far a centre may be where there is no direction; whether it is a place."""
    return [
        {
            "name": one.value,
            "phrase": one.phrase,
            "direction": list(one.direction),
            "reach": one.reach,
            "place": isinstance(one, Place),
        }
        for one in (*Relation, *Place)
    ]


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
