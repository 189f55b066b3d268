"""Things that a prompt names again: "the cat" after "a black cat"."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from ..relations.depth import Depth
from ..relations.place import Place
from ..relations.relation import Relation
from ..relations.scene import Scene
from ..relations.statement import Span, Statement
from .phrases import Phrase
from .statements import are_opposite

Stated = TypeVar("Stated", bound=Statement)

_ARTICLE = "the "
#: Of what was said of one thing no more is looked at, for time linear in the prompt's length.
_MOST_SAID = 50


def first_mentions(prompt: str, heads: Iterable[Phrase], scene: Scene) -> dict[Span, Span]:
    """Of each phrase that names a thing again the one that named it first.

    It is a noun alone, and before it one thing alone is known by a phrase that ends with that noun. It has "the" before
    it; or no article, where something was related to the one before and it is related itself: "cat left of dog, dog
    above mouse", but not "cup on table, cup on chair". Of which the opposite is said are two: "the dog on the left, the
    dog on the right".

    Args:
        heads: the prompt's head phrases, in reading order.
        scene: what the prompt states.
    """
    known, again, said = defaultdict[str, dict[Span, None]](dict), dict[Span, Span](), _Said(scene)
    for head in heads:
        span, named = head.span, known[head.noun]
        if span in again or span in named:  # a pronoun has the phrase that it stands for
            continue
        first = next(iter(named), None)
        is_one = first is not None and len(named) == 1 and span.text.lower() == head.noun
        goes_on = _is_definite(prompt, span) or (
            not head.determined and first is not None and said.goes_on(first, span)
        )
        if first is not None and is_one and goes_on and not said.are_apart(first, span):
            again[span] = first
            said.merge(first, span)
        else:
            named[span] = None
    return again


class _Said:
    """What a scene says of its things, each known by where its name begins."""

    def __init__(self, scene: Scene):
        self._of = defaultdict[int, list[tuple[Place | Relation | Depth, int | None]]](list)
        self._subjects, self._objects, self._first = set[int](), set[int](), dict[int, int]()
        for one in (*scene.relations, *scene.depth):
            for statement in dict.fromkeys((one, _inverse(one))):
                object = statement.object.start if statement.object else None
                self._of[statement.subject.start].append((statement.relation, object))
            self._subjects.add(one.subject.start)
            self._objects |= {end.start for end in one.ends[1:]}

    def goes_on(self, first: Span, second: Span) -> bool:
        """Whether something was said to stand to the first, and it is said where the second stands."""
        was_object = first.start in self._objects - self._subjects
        return was_object and second.start in self._subjects - self._objects

    def are_apart(self, first: Span, second: Span) -> bool:
        """Whether the two are related to each other, or the opposite is said of them."""
        ours, theirs = self._of[first.start][-_MOST_SAID:], self._of[second.start][-_MOST_SAID:]
        related = any(self._thing(other) == self._thing(second.start) for _, other in ours if other is not None)
        return related or any(
            self._thing(a) == self._thing(b) and _exclude(one, other) for one, a in ours for other, b in theirs
        )

    def merge(self, first: Span, second: Span) -> None:
        """Take the second for the first from now on."""
        self._first[second.start] = first.start
        self._of[first.start] += self._of[second.start]
        if second.start in self._subjects:
            self._subjects.add(first.start)

    def _thing(self, start: int | None) -> int | None:
        return None if start is None else self._first.get(start, start)


def _exclude(one: Place | Relation | Depth, other: Place | Relation | Depth) -> bool:
    """Whether one thing cannot have both said of it: that it is on opposite sides, or in the middle and at a side."""
    if isinstance(one, Depth) or isinstance(other, Depth):
        return isinstance(one, Depth) and isinstance(other, Depth) and one is not other
    if isinstance(one, Place) and isinstance(other, Place) and any(one.direction) != any(other.direction):
        return True
    return are_opposite(one, other)


def _is_definite(prompt: str, span: Span) -> bool:
    return prompt[max(0, span.start - len(_ARTICLE)) : span.start].lower() == _ARTICLE


def by_first_mentions(scene: Scene, again: Mapping[Span, Span]) -> Scene:
    """The scene with each thing by the phrase that named it first, but where it would be related to itself."""
    # What is related may be known by less of its phrase, which begins as the phrase does.
    known = {span.start: span for statement in (*scene.relations, *scene.depth) for span in statement.ends}
    first = {span: known.get(named.start, named) for span, named in again.items()}

    def by_first(statement: Stated) -> Stated:
        subject, *others = (first.get(span, span) for span in statement.ends)
        return statement if subject in others else replace(statement, subject=subject, object=next(iter(others), None))

    relations, depth = map(by_first, scene.relations), map(by_first, scene.depth)
    return replace(scene, relations=tuple(_said_once(relations)), depth=tuple(_said_once(depth)))


def _said_once(statements: Iterable[Stated]) -> Iterator[Stated]:
    """Each statement once, from whichever side it is told."""
    seen = set[Statement]()
    for statement in statements:
        if statement not in seen:
            seen |= {statement, _inverse(statement)}
            yield statement


def _inverse(statement: Stated) -> Stated:
    """The same, told of its object; of a place itself."""
    if statement.object is None:
        return statement
    assert not isinstance(statement.relation, Place)
    return replace(statement, subject=statement.object, relation=statement.relation.inverse, object=statement.subject)
