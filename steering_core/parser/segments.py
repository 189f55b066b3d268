"""What stands between the marks of a sentence: the phrases that are related, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

from .kinds import is_adverb
from .marks import Mark, read_marks
from .phrases import NOTHING, Joint, Phrase, phrases_of
from .tagged import Word
from .tagger import OTHER, VERB
from .verbs import COPULAS, INTRANSITIVES, INTRANSITIVES_OF_ONE, PARTICLES, PERCHED, POSTURES, SEATED
from .words import (
    ADVERBS,
    BREAKS,
    COORDINATORS,
    DETERMINERS,
    DIMENSIONS,
    FRAMES,
    LINKS,
    MEASURES,
    NO_SUPPORTS,
    PERCHES,
    PRONOUNS,
    RELATIVES,
    SEATS,
    SHOWING,
    SUPPORTS,
)

#: The joints of what is only tied to the phrase before it.
LINKED = {(link,) for link in LINKS}
_PRONOUNS = PRONOUNS | {"her"}
#: Words before a phrase that is no part of the one before.
_BEFORE_HEADS = COORDINATORS | COPULAS | ADVERBS | INTRANSITIVES | INTRANSITIVES_OF_ONE
#: Words after "on" among which its noun is looked for.
_LONGEST_SUPPORT = 10


def marks_of(prompt: str, words: Sequence[Word]) -> list[Mark]:
    """What relates two phrases; of the many uses of "on" those by which one thing bears another."""
    marks = list(_with_pairs_upright(list(read_marks(words))))
    if len({mark.x for mark in marks if mark.kind == "bare"}) < 2:  # "a town left in ruins", "turn right"
        marks = [mark for mark in marks if mark.kind != "bare"]
    ends = [*(mark.start for mark in marks[1:]), len(words)]
    return [mark for mark, end in zip(marks, ends) if mark.kind != "on" or _bears(prompt, words, mark, end)]


def _with_pairs_upright(marks: Sequence[Mark]) -> Iterator[Mark]:
    """Of "above" and "below" without what they are above those whose opposite is said too: "moon above, sea below"."""
    heights = {mark.y for mark in marks if mark.kind in ("upon", "aside")}
    for mark in marks:
        is_lone = mark.kind == "upon" and -(mark.y or 0) not in heights
        yield mark._replace(kind="relation") if is_lone else mark


def _bears(prompt: str, words: Sequence[Word], mark: Mark, end: int) -> bool:
    """Whether by "on" what stands before it rests upon what follows it, before the ``end``."""
    before = mark.start - 1
    while before >= 0 and (is_adverb(words[before].text) or words[before].text in ADVERBS):
        before -= 1
    word, tag = (words[before].text, words[before].tag) if before >= 0 else (",", "")
    after = words[mark.end : min(end, mark.end + _LONGEST_SUPPORT)]
    phrases, _ = phrases_of(prompt, after)
    is_support = bool(phrases) and phrases[0].noun in SUPPORTS
    if word not in POSTURES | COORDINATORS | RELATIVES and (word in BREAKS or tag == VERB):
        return False
    if mark.pronoun:
        return True
    if not phrases or phrases[0].joints or phrases[0].noun.isdigit():
        return False
    seats = SEATS if word in SEATED else frozenset()
    if phrases[0].noun in NO_SUPPORTS and phrases[0].noun not in seats | PERCHES:
        return False
    if phrases[0].noun in PERCHES and word not in PERCHED and tag in (VERB, OTHER):
        return False
    return after[0].text in DETERMINERS or is_support or word in POSTURES or _is_tag(words, mark, after)


def _is_tag(words: Sequence[Word], mark: Mark, after: Sequence[Word]) -> bool:
    """Whether "on" with a word or two on either side stands between commas: "egg on noodles"."""
    before = list(takewhile(lambda word: word.text != ",", words[max(0, mark.start - 3) : mark.start][::-1]))
    behind = list(takewhile(lambda word: word.text != ",", after[:3]))
    return len(before) in (1, 2) and len(behind) in (1, 2) and not {word.text for word in (*before, *behind)} & BREAKS


class Segment(NamedTuple):
    """The head phrases between two marks, what the last of them is "with" or acts on, and the words after the last."""

    heads: tuple[Phrase, ...]
    companion: Phrase | None
    tail: tuple[Joint, ...]
    #: All phrases that are no pronouns, heads or not.
    phrases: tuple[Phrase, ...]

    @property
    def last(self) -> Phrase | None:
        """The last phrase, a head or not."""
        return self.phrases[-1] if self.phrases else None

    @property
    def breaks_off(self) -> bool:
        """Whether what follows goes on with an earlier subject: "… and", "…, is", but not "…, which is"."""
        return not COORDINATORS.isdisjoint(self.tail) and RELATIVES.isdisjoint(self.tail)


def heads_of(segments: Sequence[Segment]) -> list[Phrase]:
    """All head phrases of these segments."""
    return [head for segment in segments for head in segment.heads]


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


def _segment(phrases: Sequence[Phrase], tail: tuple[Joint, ...], known: Sequence[Phrase], *, opening: bool) -> Segment:
    """The phrases that modify no other are heads, ``opening`` if no mark precedes them.

    A pronoun is what it stands for, the phrase last ``known``.
    """
    heads, companion = list[Phrase](), None
    after_head = begins_clause = False
    is_previous_head = True
    for phrase in phrases:
        yields = bool(heads) and _gives_way(heads[-1].noun, phrase.joints, as_object=not opening, directly=after_head)
        if heads and not phrase.joints and phrase.noun in DIMENSIONS:
            continue
        after_head = yields or not phrase.joints or phrase.joints[-1] in _BEFORE_HEADS
        if phrase.joints[-1:] == ("as",):
            after_head = not _resembles(phrase.joints, directly=opening and not begins_clause)
        if phrase.joints in LINKED and not phrase.determined and not is_previous_head:
            after_head = False  # "full of ice and champagne"
        is_previous_head = after_head
        begins_clause = begins_clause or any(joint.is_verb for joint in phrase.joints)
        if after_head:
            if phrase.noun in _PRONOUNS:
                phrase = known[-1]._replace(joints=phrase.joints) if known else phrase._replace(noun=NOTHING)
            phrase = phrase._replace(begins_clause=begins_clause)
            if yields:
                shown = heads.pop()
                phrase = phrase._replace(joints=shown.joints, begins_clause=shown.begins_clause)
            heads.append(phrase)
            known, companion, begins_clause = [phrase], None, False
        elif phrase.noun not in _PRONOUNS and (
            _accompanies(phrase.joints) or (companion and _gives_way(companion.noun, phrase.joints, as_object=True))
        ):
            companion = phrase
    if _is_apposed(heads, tail):
        heads.pop()
    return Segment(tuple(heads), companion, tail, tuple(phrase for phrase in phrases if phrase.noun not in _PRONOUNS))


def _is_apposed(heads: Sequence[Phrase], tail: tuple[Joint, ...]) -> bool:
    """Whether the last head says what the one before it is: "the captain, a tall woman, stands"."""
    if len(heads) < 2 or not (heads[-1].determined and heads[-2].determined and heads[-1].joints == (",",)):
        return False
    in_list = len(heads) > 2 and heads[-2].joints == (",",) and heads[-3].determined
    return len(tail) > 1 and tail[0] == "," and tail[1].is_finite and not in_list


def _resembles(joints: Sequence[Joint], *, directly: bool) -> bool:
    """Whether "as" says what something looks like: "dressed as a pirate", "my dog as a king", not "as a cat walks"."""
    return (directly and len(joints) == 1) or any(joint.is_participle for joint in joints)


def _accompanies(joints: Sequence[Joint]) -> bool:
    particle = len(joints) > 1 and joints[-1] in PARTICLES
    joint = joints[-2 if particle else -1]
    return joint in {"with", "whose", "at"} or joint.is_verb


def _gives_way(noun: str, joints: Sequence[Joint], *, as_object: bool, directly: bool = True) -> bool:
    """Whether what was named before the joints shows or holds what follows them."""
    framed = noun in FRAMES and not SHOWING.isdisjoint(joints[:1] if directly else ())
    relative = joints[-1:] == ("where",) or joints[-2:] == ("in", "which")
    return (not as_object and (framed or relative)) or (directly and noun in MEASURES | PERCHES and joints == ("of",))
