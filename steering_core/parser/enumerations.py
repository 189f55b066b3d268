"""Things that are told in their order: "from left to right: a cat, a dog and a bird"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..relations import Relation
from .clauses import LISTING
from .kinds import is_placeless, qualifies
from .marks import Word
from .phrases import Phrase, phrases_of
from .words import FRAMES, LINKS, MEASURES

#: Which way a list goes, and how each of its things stands to the next one.
_ORDERS: Mapping[tuple[str, ...], Relation] = {
    ("left", "to", "right"): Relation.LEFT_OF,
    ("right", "to", "left"): Relation.RIGHT_OF,
    ("top", "to", "bottom"): Relation.ABOVE,
    ("bottom", "to", "top"): Relation.BELOW,
}
_LENGTH = 3
#: What a list stands after, and what sets apart what is no list.
_OPENING, _BRACKETS = set(":-–—|"), set("()[]")
#: Words among which a list is looked for.
_LONGEST = 80
_OF = ("of",)


class Enumeration(NamedTuple):
    """A list: how each of its things stands to the next, and the things, two or more.

    Attributes:
        is_plain: between them is nothing that says more of one.
    """

    relation: Relation
    things: Sequence[Phrase]
    is_plain: bool


def enumerations(prompt: str, words: Sequence[Word]) -> Iterator[Enumeration]:
    """The lists of a sentence, in time linear in its length.

    Args:
        words: of the sentence.
    """
    end = 0
    for at in range(len(words) - _LENGTH):
        relation = _ORDERS.get(tuple(word.text for word in words[at : at + _LENGTH]))
        if relation is None or at < end:
            continue
        end = at + _LENGTH + _LONGEST
        rest = _listed(prompt, words, at)
        if rest and _BRACKETS.isdisjoint(prompt[rest[0].start : rest[-1].end]):
            phrases, _ = phrases_of(prompt, rest)
            things = _things(phrases)
            if len(things) > 1:
                yield Enumeration(relation, things, all(one in things or one.joints == _OF for one in phrases))


def _listed(prompt: str, words: Sequence[Word], at: int) -> Sequence[Word]:
    """What follows an order that begins ``at`` a word, where it can be a list."""
    before = [word.text for word in words[max(0, at - 2) : at]]
    begins = (before[:-1] if before[-1:] == ["from"] else before)[-1:] in ([], [","])
    rest = words[at + _LENGTH : at + _LENGTH + _LONGEST]
    if rest[0].text == "," and not (begins or prompt[rest[0].start] in _OPENING):
        return ()
    first = next((number for number, word in enumerate(rest) if word.text != ","), len(rest))
    return rest[first:]


def _things(phrases: Sequence[Phrase]) -> Sequence[Phrase]:
    """The members of the list that these phrases begin with; none where what is one cannot be told."""
    things = list[Phrase]()
    is_last = is_modified = False
    for phrase in phrases:
        if not things:
            if phrase.joints:
                return ()
        elif phrase.joints == _OF and things[-1].noun in MEASURES | FRAMES and not is_modified:
            things[-1] = phrase
            continue
        elif phrase.joints not in LISTING or (is_modified and "," not in phrase.joints):
            if any(joint.is_finite for joint in phrase.joints):
                return ()
            if "," in phrase.joints:
                break  # "a boy, a girl, all in blue"
            is_modified = is_modified or phrase.joints != _OF
            continue
        elif is_last:
            return ()  # "a man and his dog, a woman and her cat"
        elif is_placeless(phrase.noun) or (things[0].determined and not phrase.determined):
            break
        if qualifies(phrase.noun):
            return ()
        things.append(phrase)
        is_last, is_modified = not LINKS.isdisjoint(phrase.joints), False
    return things
