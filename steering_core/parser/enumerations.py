"""Things that are told in their order: "from left to right: a cat, a dog and a bird"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..relations import Relation
from .clauses import LISTING
from .kinds import is_placeless
from .marks import Word
from .phrases import Phrase, phrases_of
from .words import LINKS

#: Which way a list goes, and how each of its things stands to the next one.
_ORDERS: Mapping[tuple[str, ...], Relation] = {
    ("left", "to", "right"): Relation.LEFT_OF,
    ("right", "to", "left"): Relation.RIGHT_OF,
    ("top", "to", "bottom"): Relation.ABOVE,
    ("bottom", "to", "top"): Relation.BELOW,
}
_LENGTH = 3
#: What a list stands after.
_OPENING = set(":-–—|")


def in_order(prompt: str, words: Sequence[Word]) -> Iterator[tuple[Relation, list[Phrase]]]:
    """Of each list of a sentence how its things stand to the next, and its things: two or more.

    Args:
        words: of the sentence.
    """
    for at in range(len(words) - _LENGTH):
        relation = _ORDERS.get(tuple(word.text for word in words[at : at + _LENGTH]))
        if relation is None:
            continue
        before = [word.text for word in words[:at]]
        begins = (before[:-1] if before[-1:] == ["from"] else before)[-1:] in ([], [","])
        rest = words[at + _LENGTH :]
        opened = rest[0].text != "," or begins or prompt[rest[0].start] in _OPENING
        if opened and len(things := _things(phrases_of(prompt, rest)[0])) > 1:
            yield relation, things


def _things(phrases: Sequence[Phrase]) -> list[Phrase]:
    """The members of the list that these phrases begin with; what says more of a member is none."""
    things = list[Phrase]()
    for phrase in phrases:
        if not things:
            if phrase.joints not in ((), (",",)):
                break
        elif phrase.joints not in LISTING:
            continue
        elif is_placeless(phrase.noun) or (things[0].determined and not phrase.determined):
            break
        things.append(phrase)
        if not LINKS.isdisjoint(phrase.joints):
            break
    return things
