"""Things that a prompt names again: "the cat" after "a black cat"."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from ..relations import Scene, Span, Statement
from .phrases import Phrase

Stated = TypeVar("Stated", bound=Statement)

_ARTICLE = "the "


def first_mentions(prompt: str, heads: Iterable[Phrase]) -> dict[Span, Span]:
    """Of each phrase that names a thing again the one that named it first.

    It is "the" and a noun alone, and before it one thing alone is known by a phrase that ends with that noun, and was
    not "the" itself: "the dog on the left, the dog on the right" are two.

    Args:
        heads: the prompt's head phrases, in reading order.
    """
    known, again = defaultdict[str, dict[Span, None]](dict), dict[Span, Span]()
    for head in heads:
        span, named = head.span, known[head.noun]
        if span in again or span in named:  # a pronoun has the phrase that it stands for
            continue
        is_bare = span.text.lower() == head.noun and _is_definite(prompt, span)
        if is_bare and len(named) == 1 and not _is_definite(prompt, first := next(iter(named))):
            again[span] = first
        else:
            named[span] = None
    return again


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
    return replace(scene, relations=tuple(dict.fromkeys(relations)), depth=tuple(dict.fromkeys(depth)))
