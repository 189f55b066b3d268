"""Things that a prompt names again: "the cat" after "a black cat"."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from ..relations import Depth, Place, Relation, Scene, Span, Statement
from .phrases import Phrase

Stated = TypeVar("Stated", bound=Statement)

_ARTICLE = "the "


def first_mentions(prompt: str, heads: Iterable[Phrase], scene: Scene) -> dict[Span, Span]:
    """Of each phrase that names a thing again the one that named it first.

    It is a noun alone, with "the" or with no article at all, and before it one thing alone is known by a phrase that
    ends with that noun. Of what can be no thing at once there are two: "the dog on the left, the dog on the right".

    Args:
        heads: the prompt's head phrases, in reading order.
        scene: what the prompt states.
    """
    known, again = defaultdict[str, dict[Span, None]](dict), dict[Span, Span]()
    said = _said(scene)
    for head in heads:
        span, named = head.span, known[head.noun]
        if span in again or span in named:  # a pronoun has the phrase that it stands for
            continue
        is_bare = span.text.lower() == head.noun and (_is_definite(prompt, span) or not head.determined)
        if is_bare and len(named) == 1 and not _are_apart(said, first := next(iter(named)), span):
            again[span] = first
        else:
            named[span] = None
    return again


#: By where a thing's name begins: what was said of it, and the other thing's name; of a place there is none.
_Said = Mapping[int, Sequence[tuple[Place | Relation | Depth, Span | None]]]


def _said(scene: Scene) -> _Said:
    said = defaultdict[int, list[tuple[Place | Relation | Depth, Span | None]]](list)
    for one in (*scene.relations, *scene.depth):
        said[one.subject.start].append((one.relation, one.object))
        if one.object is not None:
            turned = _inverse(one)
            said[turned.subject.start].append((turned.relation, turned.object))
    return said


def _are_apart(said: _Said, first: Span, second: Span) -> bool:
    """Whether two are related to each other, or the opposite is said of them."""
    ours, theirs = said.get(first.start, ()), said.get(second.start, ())
    opposite = (_are_called_alike(a, b) and _are_opposite(one, other) for one, a in ours for other, b in theirs)
    return any(other is not None and other.start == second.start for _, other in ours) or any(opposite)


def _are_called_alike(one: Span | None, other: Span | None) -> bool:
    return (one and one.text.lower()) == (other and other.text.lower())


def _are_opposite(one: Place | Relation | Depth, other: Place | Relation | Depth) -> bool:
    if isinstance(one, Depth) or isinstance(other, Depth):
        return isinstance(one, Depth) and isinstance(other, Depth) and one is not other
    return any(a * b < 0 for a, b in zip(one.direction, other.direction))


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
    told = set[Statement]()
    for statement in statements:
        if statement not in told:
            told |= {statement, _inverse(statement)}
            yield statement


def _inverse(statement: Stated) -> Stated:
    """The same, told of its object; of a place itself."""
    if statement.object is None:
        return statement
    assert not isinstance(statement.relation, Place)
    return replace(statement, subject=statement.object, relation=statement.relation.inverse, object=statement.subject)
