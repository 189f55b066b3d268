"""Reads the spatial relations that a text-to-image prompt states in English: by rules, which a network judges."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from ..relations.scene import Scene
from ..relations.statement import Span
from .judged import judged
from .kinds import is_placeless
from .mentions import by_first_mentions, first_mentions
from .rules import ReadByRules, read_by_rules
from .words import BODY


def parse(prompt: str) -> Scene:
    """Find what a prompt states of the places of things, in time linear in its length.

    ``read_by_rules`` tells by what rules, and ``judged`` how the network mends them.

    Spans hold adjectives, compounds and possessives, but no determiners and no prompt weights; of a
    phrase that emphasis divides, as in "(red:1.2) dog" or "robot (chrome:1.3)", the part with the noun. "The cat" after
    "a black cat" is that one.

    Returns:
        The scene; its relations and what it states of depth are in reading order, and none if the prompt states none.

    Raises:
        TypeError: the prompt is not a string.
    """
    _, scene, again = _read(prompt)
    return by_first_mentions(scene, again)


def objects(prompt: str) -> tuple[Span, ...]:
    """The phrases of a prompt that name things to place, related or not, in reading order.

    The head phrases by the rules of ``read_by_rules``: in "a photo of a cat in a box and a dog" cat and dog; and what
    it relates. Tags that describe a body, as "blue eyes", name none.
    """
    read, scene, again = _read(prompt)
    heads = (head for head in read.heads if head.span not in again)
    things = {head.span for head in heads if head.noun not in BODY and not is_placeless(head.noun)}
    # What is related may be known by less of its phrase, which begins as the phrase does.
    named = {span.start: span for span in (*things, *by_first_mentions(scene, again).objects)}
    return tuple(named[start] for start in sorted(named))


@lru_cache(maxsize=4)  # at each key objects and relations are asked for one after the other
def _read(prompt: str) -> tuple[ReadByRules, Scene, Mapping[Span, Span]]:
    """What the rules read in a prompt, what it states as the network judges it, and what it names again.

    Raises:
        TypeError: the prompt is not a string.
    """
    read = read_by_rules(prompt)
    scene = judged(read)
    return read, scene, first_mentions(prompt, read.heads, scene)
