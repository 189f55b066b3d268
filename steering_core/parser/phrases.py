"""Noun phrases, and the words between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..relations import Span
from .kinds import is_adverb, is_participle, is_plural, is_singular_subject, is_third_person, qualifies
from .marks import Word
from .words import (
    BREAKS,
    COPULAS,
    DETERMINERS,
    JOINTS,
    LINKS,
    OWNERS,
    PLURAL_VERBS,
    PRONOUNS,
    RELATIVES,
    SINGULAR,
    STANDS,
    TRANSITIVES,
)


class Phrase(NamedTuple):
    """A noun phrase, its last word, and the words that stand between the phrase before and it."""

    span: Span
    noun: str
    joints: tuple[str, ...]
    #: Whether a verb stands between the head before and it, so that "and" begins a clause.
    begins_clause: bool = False


def phrases_of(prompt: str, words: Sequence[Word]) -> tuple[list[Phrase], tuple[str, ...]]:
    """The noun phrases among these words, and the joints after the last of them."""
    phrases, joints, nouns, determiner = list[Phrase](), list[str](), list[Word](), ""
    texts = [",", *(word.text for word in words), "these", ""]
    for index, text in enumerate(texts[1:-1]):  # "these" only closes the last phrase
        linked = not LINKS.isdisjoint(joints[-1:])
        role = _role(texts[index], text, texts[index + 2], bool(nouns), determiner, linked)
        if role == "noun":
            nouns.append(words[index])
            continue
        while nouns and is_adverb(nouns[-1].text):
            nouns.pop()
        if nouns:
            nouns = _unqualified(prompt, nouns)
            noun = "nothing" if nouns[0].text == "no" else nouns[-1].text
            phrases.append(Phrase(_span(prompt, nouns), noun, tuple(joints)))
            joints, nouns = [], []
        joints += [text] if role == "joint" else []
        determiner = text if role == "determiner" else ""
    return phrases, tuple(joints)


def _role(before: str, word: str, after: str, inside: bool, determiner: str, linked: bool) -> str:
    """``noun`` (part of a phrase), ``determiner`` or ``joint``.

    A phrase has words if ``inside``, or is to begin; it is ``linked`` by "and" to the phrase before.
    """
    fresh = bool(determiner) and not inside
    nominal = after not in BREAKS and not is_adverb(after)
    if word in PRONOUNS or (word == "her" and not nominal):
        return "noun"
    if word == "that" and (after in JOINTS or is_participle(after) or is_third_person(after)):
        return "joint"
    if word in DETERMINERS or (not inside and (word.isdigit() or word == "\\(")) or (fresh and word == "of"):
        return "determiner"
    if fresh and (word in TRANSITIVES | COPULAS or is_participle(word)):
        return "noun"
    joins = word in JOINTS or (word == "can" and after == "be")
    several = is_plural(before) or (linked and not nominal and before not in STANDS)
    verb = inside and several and word in PLURAL_VERBS
    if not fresh and is_third_person(word):
        governs = after in SINGULAR | OWNERS | {"the"}  # "guards a chest"
        verb = governs or before in RELATIVES or (is_singular_subject(determiner, word) and not nominal)
    participle = is_participle(word) and (before in COPULAS or not nominal)
    return "joint" if joins or verb or participle else "noun"


def _unqualified(prompt: str, words: list[Word]) -> list[Word]:
    """The words of a phrase without what stands in brackets after it to say how it is: "a robot (chrome:1.3)"."""
    first = len(words)
    while first and qualifies(words[first - 1].text):
        first -= 1
    bracketed = 0 < first < len(words) and not {"(", "["}.isdisjoint(prompt[words[first - 1].end : words[first].start])
    return words[:first] if bracketed else words


def _span(prompt: str, words: Sequence[Word]) -> Span:
    """The last words that no markup divides."""
    first = len(words) - 1
    while first and not prompt[words[first - 1].end : words[first].start].strip(" \t\r\n'’-"):
        first -= 1
    start, end = words[first].start, words[-1].end
    return Span(prompt[start:end], start, end)
