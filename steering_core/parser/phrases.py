"""Noun phrases, and the words between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..relations import Span
from .kinds import is_adverb, is_participle, is_plural, is_singular_subject, is_third_person, qualifies
from .marks import Word
from .verbs import BEING, COPULAS, DONE_BY, DUTIES, LYING, PLURAL_VERBS, SETS, STANDS, TRANSITIVES, VERBS_LIKE_NOUNS
from .words import ADVERBS, ARTICLES, BREAKS, COUNTS, DETERMINERS, JOINTS, LINKS, POSTPOSED, PRONOUNS, RELATIVES


class Phrase(NamedTuple):
    """A noun phrase, its last word, and the words that stand between the phrase before and it."""

    span: Span
    noun: str
    joints: tuple[str, ...]
    #: Whether an article or the like begins it.
    determined: bool
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
        while nouns and _says_how(nouns, bool(determiner)):
            nouns.pop()
        predicate = len(nouns) == 1 and not determiner and joints[-1:] and joints[-1] in BEING
        if predicate and "there" not in joints and not is_plural(nouns[0].text) and nouns[0].text not in PRONOUNS:
            nouns = []  # "the one in the middle is blue"
        if nouns:
            nouns = _unqualified(prompt, nouns)
            noun = "nothing" if nouns[0].text == "no" else nouns[-1].text
            phrases.append(Phrase(_span(prompt, nouns), noun, tuple(joints), bool(determiner)))
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
    fresh = fresh and not (determiner in COUNTS and is_participle(word) and not nominal)  # "both reflected in the lake"
    if (fresh and (word in TRANSITIVES | COPULAS | ADVERBS or is_participle(word))) or (
        word == "set" and before in SETS
    ):
        return "noun"
    if inside and determiner and nominal and is_participle(before) and word.endswith("ing"):
        return "noun"  # "a cantilevered reading room"
    joins = word in JOINTS or (word == "can" and after == "be") or (word in DUTIES and before.startswith("stand"))
    if word in LYING and not (inside or determiner) and after in ARTICLES | COUNTS:  # "on which lie three loaves"
        return "joint"
    several = is_plural(before) or (linked and not nominal and before not in STANDS and word not in VERBS_LIKE_NOUNS)
    verb = (inside and _acts(before, word, after, several)) or (
        not fresh and is_third_person(word) and _acts_alone(before, word, after, determiner if inside else "", nominal)
    )
    plain = word.endswith("ed") and is_plural(after)  # "beneath it are wrapped presents"
    participle = is_participle(word) and ((before in COPULAS and not plain) or not nominal)
    return "joint" if joins or verb or participle else "noun"


def _acts(before: str, word: str, after: str, several: bool) -> bool:
    """Whether a word within a phrase is a verb of what is named before it, as what stands around it says."""
    starts_another = after in ARTICLES
    if word in PLURAL_VERBS and (several or after in COUNTS):  # "gulls circle", "above the hut hang seven moons"
        return True
    if is_plural(before) and not is_plural(word):  # "roses form an arch", "workers unload crates"
        return starts_another or (is_plural(after) and after not in BREAKS)
    return (word in LYING and starts_another) or (word in DONE_BY and after == "by")


def _acts_alone(before: str, word: str, after: str, determiner: str, nominal: bool) -> bool:
    """Whether a word that ends as the third person does is a verb: "a man feeds pigeons", but "the coffee cups".

    Args:
        determiner: what begins the phrase that it would be a part of, if anything does.
    """
    of_one = determiner in {"a", "an"} or (is_singular_subject(determiner, word) and not nominal)
    return after in ARTICLES or before in RELATIVES or of_one


def _says_how(words: Sequence[Word], determined: bool) -> bool:
    """Whether the last word of a phrase says how something is or is done, and names nothing."""
    last = words[-1].text
    return is_adverb(last) or (last in POSTPOSED and (len(words) > 1 or not determined))


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
