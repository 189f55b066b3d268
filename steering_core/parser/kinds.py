"""What kind of word one is, by lists and endings."""

from __future__ import annotations

import re

from .words import (
    ABSTRACT_ENDINGS,
    CONCRETE,
    NOUN_ENDINGS_LIKE_ADVERBS,
    PERSONS,
    PERSONS_END,
    PLACELESS,
    PLURAL_ENDINGS,
    PLURALS,
    QUALIFIERS,
    QUALIFYING_ENDINGS,
    THINGS_LIKE_QUALIFIERS,
)


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


def qualifies(word: str) -> bool:
    """Whether it says how a thing is, rather than what it is: "chrome"."""
    is_thing = word in THINGS_LIKE_QUALIFIERS or word.endswith("fish")
    return word in QUALIFIERS or (word.endswith(QUALIFYING_ENDINGS) and not is_thing)


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
