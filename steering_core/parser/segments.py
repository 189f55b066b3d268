"""What stands between the marks of a sentence: the phrases that are related, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .kinds import is_adverb, is_participle, is_verb
from .marks import Mark, Word, read_marks
from .phrases import Phrase, phrases_of
from .words import (
    ADVERBS,
    BREAKS,
    COORDINATORS,
    COPULAS,
    DETERMINERS,
    FRAMES,
    MEASURES,
    NO_SUPPORTS,
    POSTURES,
    PRONOUNS,
    RELATIVES,
    SHOWING,
    SUPPORTS,
)

#: Words after "on" among which its noun is looked for.
_LONGEST_SUPPORT = 10


def marks_of(prompt: str, words: Sequence[Word]) -> list[Mark]:
    """What relates two phrases; of the many uses of "on" those by which one thing bears another."""
    marks = list(read_marks(words))
    if len({mark.x for mark in marks if mark.kind == "bare"}) < 2:  # "a town left in ruins", "turn right"
        marks = [mark for mark in marks if mark.kind != "bare"]
    ends = [*(mark.start for mark in marks[1:]), len(words)]
    return [mark for mark, end in zip(marks, ends) if mark.kind != "on" or _bears(prompt, words, mark, end)]


def _bears(prompt: str, words: Sequence[Word], mark: Mark, end: int) -> bool:
    """Whether by "on" what stands before it rests upon what follows it, before the ``end``."""
    before = mark.start - 1
    while before >= 0 and is_adverb(words[before].text):
        before -= 1
    word = words[before].text if before >= 0 else ","
    if word not in POSTURES | COORDINATORS | RELATIVES and (word in BREAKS or is_participle(word)):
        return False
    if mark.pronoun:
        return True
    after = words[mark.end : min(end, mark.end + _LONGEST_SUPPORT)]
    phrases, _ = phrases_of(prompt, after)
    if not phrases or phrases[0].joints or phrases[0].noun in NO_SUPPORTS or phrases[0].noun.isdigit():
        return False
    return after[0].text in DETERMINERS or phrases[0].noun in SUPPORTS


class Segment(NamedTuple):
    """The head phrases between two marks, what the last of them is "with" or acts on, and the words after the last."""

    heads: tuple[Phrase, ...]
    companion: Phrase | None
    tail: tuple[str, ...]

    @property
    def breaks_off(self) -> bool:
        """Whether what follows goes on with an earlier subject: "… and", "…, is", but not "…, which is"."""
        return not COORDINATORS.isdisjoint(self.tail) and RELATIVES.isdisjoint(self.tail)


def segments_of(
    prompt: str, words: Sequence[Word], marks: Sequence[Mark], topic: Sequence[Phrase] = ()
) -> Iterator[Segment]:
    """What stands before the first mark, between each two, and after the last.

    Args:
        marks: of the sentence with these words.
        topic: what a pronoun before any phrase stands for.
    """
    known = list(topic)
    bounds = [0, *(bound for mark in marks for bound in (mark.start, mark.end)), len(words)]
    for start, end in zip(bounds[::2], bounds[1::2]):
        phrases, tail = phrases_of(prompt, words[start:end])
        segment = _segment(phrases, tail, known, opening=not start)
        known = list(segment.heads[-1:]) or known
        yield segment


def _segment(phrases: Sequence[Phrase], tail: tuple[str, ...], known: Sequence[Phrase], *, opening: bool) -> Segment:
    """The phrases that modify no other are heads, ``opening`` if no mark precedes them.

    A pronoun is what it stands for, the phrase last ``known``.
    """
    heads, companion = list[Phrase](), None
    after_head = begins_clause = False
    for phrase in phrases:
        yields = bool(heads) and _gives_way(
            heads[-1].noun, phrase.joints, as_object=not opening and len(heads) == 1, directly=after_head
        )
        after_head = yields or not phrase.joints or phrase.joints[-1] in COORDINATORS | COPULAS | ADVERBS
        begins_clause = begins_clause or any(map(is_verb, phrase.joints))
        if after_head:
            if phrase.noun in PRONOUNS | {"her"}:
                phrase = known[-1]._replace(joints=phrase.joints) if known else phrase._replace(noun="nothing")
            phrase = phrase._replace(begins_clause=begins_clause)
            heads.append(phrase._replace(joints=heads.pop().joints) if yields else phrase)
            known, companion, begins_clause = [phrase], None, False
        elif _accompanies(phrase.joints[-1]) or (
            companion and _gives_way(companion.noun, phrase.joints, as_object=True)
        ):
            companion = phrase
    return Segment(tuple(heads), companion, tail)


def _accompanies(joint: str) -> bool:
    return joint in {"with", "whose", "at"} or is_verb(joint) or is_participle(joint)


def _gives_way(noun: str, joints: Sequence[str], *, as_object: bool, directly: bool = True) -> bool:
    """Whether what was named before the joints shows or holds what follows them."""
    framed = noun in FRAMES and not SHOWING.isdisjoint(joints[:1] if directly else ())
    relative = joints[-1:] == ("where",) or joints[-2:] == ("in", "which")
    return (not as_object and (framed or relative)) or (directly and noun in MEASURES and joints == ("of",))
