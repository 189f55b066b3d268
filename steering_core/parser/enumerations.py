"""Things that are told in their order: "from left to right: a cat, a dog", "a cat and a dog from left to right"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from ..relations.relation import Relation
from .clauses import LISTING
from .kinds import is_placeless, is_plural, qualifies
from .lists import listed
from .phrases import Phrase, phrases_of
from .tagged import Word
from .words import FRAMES, LINKS, MEASURES, PRONOUNS, SHOWING

#: Which way a list goes, and how each of its things stands to the next one.
_ORDERS: Mapping[tuple[str, ...], Relation] = {
    ("left", "to", "right"): Relation.LEFT_OF,
    ("right", "to", "left"): Relation.RIGHT_OF,
    ("top", "to", "bottom"): Relation.ABOVE,
    ("bottom", "to", "top"): Relation.BELOW,
}
_LENGTH = 3
#: What a list stands after, and what sets apart what is no list.
_OPENING, _BRACKETS, _DASHES = set(":-–—|"), set("()[]"), set("–—")
#: Words among which a list is looked for.
_LONGEST = 80
_OF = ("of",)
#: What may stand between a list and the order that follows it: "lined up in a row from left to right".
_ARRANGED = listed("""from , in a the row line order sequence arranged aligned displayed grouped laid lined listed
    ordered out pictured placed posed seated seen set shown side by sitting stacked standing up""")
#: What a list is of before it begins, further words of which need not be read.
_INTRODUCING = SHOWING | listed(", are is")


class Enumeration(NamedTuple):
    """A list: how each of its things stands to the next, and the things, two or more."""

    relation: Relation
    things: Sequence[Phrase]


def enumerations(prompt: str, words: Sequence[Word]) -> Iterator[Enumeration]:
    """The lists of a sentence, in time linear in its length.

    Args:
        words: of the sentence.
    """
    end = 0
    for at in range(len(words) - _LENGTH + 1):
        relation = _ORDERS.get(tuple(word.text for word in words[at : at + _LENGTH]))
        if relation is None or at < end:
            continue
        things = _list_after(prompt, words, at)
        if len(things) < 2:
            things = _list_before(prompt, words[end:at], words[at + _LENGTH :])
        if len(things) > 1:
            yield Enumeration(relation, things)
        end = at + _LENGTH + _LONGEST


def _list_after(prompt: str, words: Sequence[Word], at: int) -> Sequence[Phrase]:
    """The things that follow an order that begins ``at`` a word; none where no list does."""
    rest = _listed(prompt, words, at)
    if not rest or _holds_brackets(prompt, rest):
        return ()
    phrases, _ = phrases_of(prompt, rest)
    return _things(prompt, phrases)


def _list_before(prompt: str, words: Sequence[Word], after: Sequence[Word]) -> Sequence[Phrase]:
    """The things that stand before an order with which a sentence or a part of it ends; none where no list does."""
    if after and after[0].text != ",":
        return ()
    loose = len(list(takewhile(lambda word: word.text in _ARRANGED, reversed(words))))
    before = words[max(0, len(words) - loose - _LONGEST) : len(words) - loose]
    phrases, tail = phrases_of(prompt, before)
    things = () if tail else _last_things(phrases)
    if not things or _holds_brackets(prompt, [word for word in before if word.end >= things[0].span.start]):
        return ()
    return things


def _holds_brackets(prompt: str, words: Sequence[Word]) -> bool:
    return not _BRACKETS.isdisjoint(prompt[words[0].start : words[-1].end])


def _last_things(phrases: Sequence[Phrase]) -> Sequence[Phrase]:
    """The members of the list that these phrases end with; none where what is one cannot be told."""
    things = list[Phrase]()
    for thing in _without_what_they_are_of(phrases):
        is_other = bool(things) and thing.determined != things[0].determined
        if is_other or is_placeless(thing.noun) or thing.noun in FRAMES:
            break  # "masterpiece, a cat, a dog"
        if qualifies(thing.noun):
            return ()
        things.insert(0, thing)
        if thing.joints not in LISTING:
            break
    if not things or not _INTRODUCING.issuperset(things[0].joints[-1:]):
        return ()
    if any(not LINKS.isdisjoint(thing.joints) for thing in things[:-1]):
        return ()  # "a man and his dog, a woman and her cat"
    if len(things) > 2 and is_plural(things[0].noun) and not any(is_plural(thing.noun) for thing in things[1:]):
        return things[1:]  # "three friends, a knight, a wizard and a thief"
    return things


def _without_what_they_are_of(phrases: Sequence[Phrase]) -> Iterator[Phrase]:
    """Phrases from the last to the first: of "a cup of tea" the cup, and of "a pair of cups" the cups."""
    measure: Phrase | None = None
    for phrase, before in zip(reversed(phrases), [*reversed(phrases[:-1]), None]):
        if phrase is measure:
            continue
        if phrase.joints != _OF or before is None or before.noun in FRAMES:
            yield phrase
        elif before.noun in MEASURES:
            measure = before
            yield phrase._replace(joints=before.joints, determined=before.determined)


def _listed(prompt: str, words: Sequence[Word], at: int) -> Sequence[Word]:
    """What follows an order that begins ``at`` a word, where it can be a list."""
    before = [word.text for word in words[max(0, at - 2) : at]]
    begins = (before[:-1] if before[-1:] == ["from"] else before)[-1:] in ([], [","])
    rest = words[at + _LENGTH : at + _LENGTH + _LONGEST]
    if rest and rest[0].text == "," and not (begins or prompt[rest[0].start] in _OPENING):
        return ()
    first = next((number for number, word in enumerate(rest) if word.text != ","), len(rest))
    return rest[first:]


def _things(prompt: str, phrases: Sequence[Phrase]) -> Sequence[Phrase]:
    """The members of the list that these phrases begin with; none where what is one cannot be told."""
    things = list[Phrase]()
    is_last = is_modified = False
    for before, phrase in zip([None, *phrases], phrases):
        between = prompt[before.span.end : phrase.span.start] if before else ""
        if not things:
            if phrase.joints:
                return ()
        elif phrase.joints == _OF and things[-1].noun in MEASURES | FRAMES and not is_modified:
            things[-1] = phrase
            continue
        elif len(things) == 1 and ":" in between:
            things.clear()  # "from left to right stand: a baker, a butcher"
        elif not _DASHES.isdisjoint(between):
            break
        elif phrase.joints not in LISTING or (is_modified and "," not in phrase.joints):
            if any(joint.is_finite for joint in phrase.joints):
                return ()
            if phrase.noun in PRONOUNS and before is things[-1]:
                things.pop()  # "a singer, a drummer, a wall behind them"
                break
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
