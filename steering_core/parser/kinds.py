"""What kind of word one is, by lists and endings."""

from __future__ import annotations

import re

from .verbs import COPULAS, PARTICIPLES, PLURAL_VERBS, PLURAL_VERBS_OF_ONE, TRANSITIVES
from .words import (
    ABSTRACT_ENDINGS,
    CONCRETE,
    JOINTS,
    NOUN_ENDINGS_LIKE_ADVERBS,
    NOUN_ENDINGS_LIKE_THIRD_PERSON,
    NOUNS_LIKE_VERBS,
    PERSONS,
    PERSONS_END,
    PLACELESS,
    PLURAL_ENDINGS,
    PLURALS,
    QUALIFIERS,
    QUALIFYING_ENDINGS,
    SINGULAR,
)


def is_participle(word: str) -> bool:
    """Whether it says what something does or was done to: "sitting", "hung"."""
    return word in PARTICIPLES or (word.endswith(("ing", "ed")) and word not in NOUNS_LIKE_VERBS)


def is_third_person(word: str) -> bool:
    """Whether it may be a verb of one that acts, as its ending says: "guards"."""
    return word.endswith("s") and not word.endswith(NOUN_ENDINGS_LIKE_THIRD_PERSON)


def is_singular_subject(determiner: str, verb: str) -> bool:
    """Whether what a determiner begins may be one thing, of which the third person tells something."""
    return determiner in SINGULAR or (bool(determiner) and verb in PLURAL_VERBS_OF_ONE)


def is_plural(noun: str) -> bool:
    """Whether it names several, by the look of it."""
    return (
        noun in PLURALS
        or noun.endswith(PLURAL_ENDINGS)
        or (noun.endswith("s") and not noun.endswith(("ss", "us", "is", "'s", "’s")))
    )


def is_adverb(word: str) -> bool:
    """Whether it says how, and names nothing: "slightly"."""
    return word.endswith("ly") and not word.endswith(NOUN_ENDINGS_LIKE_ADVERBS)


def is_verb(word: str) -> bool:
    """Whether it is, or may be, a verb in a clause."""
    return word in COPULAS | TRANSITIVES | PLURAL_VERBS or (word not in JOINTS and is_third_person(word))


def qualifies(word: str) -> bool:
    """Whether it says how a thing is, rather than what it is: "chrome"."""
    return word in QUALIFIERS or word.endswith(QUALIFYING_ENDINGS)


def is_person(noun: str) -> bool:
    """Whether it names one whom "him" or "her" may stand for, and "it" does not."""
    return (
        noun in PERSONS or noun.endswith(PERSONS_END) or (noun.endswith("ist") and len(noun) > 5) or is_person_tag(noun)
    )


def is_person_tag(noun: str) -> bool:
    """Whether it is how tags count those whom they show: "1girl"."""
    return bool(re.fullmatch(r"\d+(?:girl|boy|man|woman|other)s?", noun))


def is_placeless(noun: str) -> bool:
    """Whether it names what has no place in a picture: a style, a quality, a time."""
    return "_" in noun or noun in PLACELESS or (noun.endswith(ABSTRACT_ENDINGS) and noun not in CONCRETE)
