"""Which phrases around a mark it relates: its subjects and its objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from .kinds import is_person_tag, is_placeless, is_plural, qualifies
from .marks import Mark
from .phrases import Phrase, is_creature
from .segments import LINKED, Segment
from .verbs import BEING, CARRYING, HOLDING, INTRANSITIVES_OF_ONE
from .words import BODY, FRAMES, LINKS, RELATIVES

Phrases = tuple[Phrase, ...]

#: Conjuncts beyond these are ignored, to bound the pairs of "A and B … above C and D …".
MOST_CONJUNCTS = 12
#: What stands between the members of a list.
LISTING = LINKED | {(",",)} | {(",", *link) for link in LINKED}
_OF_ONE = INTRANSITIVES_OF_ONE | {"is", "has"}


@dataclass(frozen=True)
class Before:
    """What stands to a mark's left.

    Attributes:
        segment: between the mark before and this one.
        earlier: its heads that are objects, or subjects, of the mark before.
        fresh: its other heads.
        own: its heads that are no objects of the mark before.
        subjects: of the mark before.
        main: what the clause is about, as far as it has been said.
        named: the heads of the sentence so far.
        borne: the mark before said that its subjects rest on its objects.
    """

    segment: Segment
    earlier: Phrases
    fresh: Phrases
    own: Phrases
    subjects: Phrases
    main: Phrases
    named: Sequence[Phrase]
    borne: bool

    @property
    def is_nothing(self) -> bool:
        """Whether no phrase stands there."""
        return not (self.fresh or self.earlier)


def objects_of(mark: Mark, right: Segment, *, final: bool) -> Phrases:
    """The phrases that follow the mark at once; those that "and" adds, unless they are the next mark's subjects."""
    if mark.pronoun or mark.is_of_one or mark.kind == "each_other" or not right.heads or right.heads[0].joints:
        return ()
    several = right.heads[1:MOST_CONJUNCTS]
    linked = list(takewhile(lambda phrase: phrase.joints in LINKED and not phrase.begins_clause, several))
    if mark.kind == "between":
        return right.heads[: 2 if linked else 1]
    run = right.heads[: 1 + len(linked)]
    ends = right.breaks_off or (final and not right.tail and _nothing_follows(run[-1], right))
    return run if ends else run[:1]


def _nothing_follows(phrase: Phrase, segment: Segment) -> bool:
    """Whether nothing says of a segment's phrase where it is or what it does: not "and a dog in the garden"."""
    at = segment.phrases.index(phrase) if phrase in segment.phrases else len(segment.phrases)
    return all(one.joints == ("of",) for one in segment.phrases[at + 1 :])


def is_inverted(mark: Mark, before: Before, after: Sequence[Phrase]) -> bool:
    """Whether a mark says something of what stands ``after`` its objects."""
    tail = before.segment.tail
    if mark.is_of_one and tail and tail[-1].is_participle:  # "a cup, placed on the left, …"
        return False
    alone = before.is_nothing
    paused = mark.is_of_one or (alone and not before.subjects) or tail[-2:] == ("and", ",")
    return (alone or before.segment.breaks_off or mark.pronoun in RELATIVES) and inverts(after, paused=paused)


def inverts(after: Sequence[Phrase], *, paused: bool) -> bool:
    """Whether the first phrase after the objects is the subject: "above A is B", "above A, B" if ``paused``."""
    if not after:
        return False
    joints = after[0].joints
    return not joints or joints[-1].is_verb or (paused and joints == (",",))


def members_of_list(after: Sequence[Phrase], right: Segment, *, final: bool) -> Phrases:
    """The first phrase and, at a sentence's end, those of its list: "on it lie a cup, a book and a pen"."""
    rest = after[1:MOST_CONJUNCTS]
    is_list = final and not right.tail and _end_list(rest)
    return tuple(after[: 1 + len(rest) if is_list else 1])


def _end_list(phrases: Sequence[Phrase]) -> bool:
    """Whether phrases are the further members of a list, whose last one "and" ties to it."""
    joined = all(phrase.joints in LISTING and not phrase.begins_clause for phrase in phrases)
    return joined and bool(phrases) and not LINKS.isdisjoint(phrases[-1].joints)


def with_list(segment: Segment) -> Phrases:
    """A phrase and the list of what it is "with", which ends a segment: "a table with a book, a pen and a cup"."""
    start = len(segment.phrases) - 1
    while start > 0 and segment.phrases[start].joints in LISTING:
        start -= 1
    is_list = 0 < start < len(segment.phrases) - 1 and not segment.tail
    return segment.phrases[start - 1 :] if is_list and segment.phrases[start].joints == ("with",) else ()


def subjects_of(mark: Mark, before: Before, *, owned: bool) -> Phrases:
    """What a mark says something of, that stands to its left.

    What the mark's object is ``owned`` by is no subject if it has a companion: "a dog with a bird above its head"; nor
    are the objects of an earlier mark, where a companion is alone with them: "in front of a bar with a sign above".
    """
    left = before.segment
    if left.last and left.last not in left.heads and not RELATIVES.isdisjoint(left.tail):
        return (left.last,)
    if left.companion:
        if not before.own or _is_of_companion(mark, left.companion, left, owned=owned):
            return (left.companion,)
        if mark.kind == "on" and _is_one_alive(left.companion) and not left.tail:
            return (left.companion,)
        acts = _has_verb(left) or left.companion.joints[-1].is_participle
        if mark.kind == "on" and not acts:
            return ()  # "a man with a bird on a stick": who is on it?
    return _of_tags(mark, before) or (_of_phrases(mark, before) if before.fresh else _of_earlier(mark, before))


def _is_of_companion(mark: Mark, companion: Phrase, left: Segment, *, owned: bool) -> bool:
    """Whether a mark says something of what accompanies a head, or what it acts on, and not of the head."""
    if companion.joints[-1] == "whose" or mark.pronoun or not RELATIVES.isdisjoint(left.tail):
        return True
    if _has_verb(left):
        return False
    held = mark.y == -1 and mark.kind == "relation" and not HOLDING.isdisjoint(companion.joints)
    return held or (owned and "," not in left.tail and not CARRYING.isdisjoint(companion.joints))


def _has_verb(segment: Segment) -> bool:
    """Whether a verb of a clause stands between a segment's last phrase and the mark after it."""
    return any(joint.is_finite for joint in segment.tail)


def _is_one_alive(phrase: Phrase) -> bool:
    return is_creature(phrase) and not is_plural(phrase.noun)


def _of_tags(mark: Mark, before: Before) -> Phrases:
    """Among tags who acts: "1girl, witch hat, flying above a city", "a dog, laurel wreath, sitting on a throne"."""
    tail = before.segment.tail
    after_pause = len(tail) > 1 and tail[-2] == ","
    acts = after_pause and tail[-1].is_participle
    loose = tail[-1:] == (",",) and all(joint == "," or joint.is_participle for joint in tail)
    persons = [phrase for phrase in before.named if is_person_tag(phrase.noun)]
    if persons and not mark.is_of_one and (acts or loose):
        return tuple(persons[-1:])
    stands = after_pause and tail[-1] in INTRANSITIVES_OF_ONE | BEING
    if not (acts or stands) or not before.fresh:
        return ()
    first = next((at for at, phrase in enumerate(before.fresh) if _is_thing(phrase)), 0)
    linked = takewhile(lambda phrase: phrase.joints in LINKED, before.fresh[first + 1 : first + MOST_CONJUNCTS])
    return (before.fresh[first], *linked)


def _is_thing(phrase: Phrase) -> bool:
    """Whether it can act, among tags."""
    return not (is_placeless(phrase.noun) or qualifies(phrase.noun) or phrase.noun in BODY | FRAMES)


def _of_phrases(mark: Mark, before: Before) -> Phrases:
    """The last of the fresh phrases and those that "and" ties to it."""
    if mark.pronoun:
        return before.fresh[-1:]
    run, tail = _listed_run(before) or _last_run(before.fresh), before.segment.tail
    if len(run) > 1 and tail and tail[0] in _OF_ONE:  # "a vase of tulips and roses stands"
        first = max((at for at, phrase in enumerate(before.fresh) if phrase.begins_clause), default=0)
        return before.fresh[first : first + 1]
    return run


def _of_earlier(mark: Mark, before: Before) -> Phrases:
    """Where no phrase is fresh: what the mark before was of, or what it ended with."""
    tail, earlier, subjects = before.segment.tail, before.earlier, before.subjects
    if before.borne and subjects and not (tail or mark.y or mark.depth):
        return subjects  # "a cup on a table next to a plate": the cup
    if not earlier or mark.pronoun:
        return subjects
    verb = _has_verb(before.segment) and RELATIVES.isdisjoint(tail)
    if verb and earlier[-1] not in subjects:
        return before.main or subjects  # "a cake with a rose on its top stands on a table"
    return subjects if before.segment.breaks_off else earlier[-1:]


def _listed_run(before: Before) -> Phrases:
    """A list that a sentence begins with: "a man, a woman and a child sit on"."""
    phrases = before.fresh
    begins = len(phrases) > 2 and not (before.earlier or before.subjects) and all(one.determined for one in phrases)
    return phrases[:MOST_CONJUNCTS] if begins and _end_list(phrases[1:]) else ()


def _last_run(phrases: Phrases) -> Phrases:
    """The last phrase and those that "and" ties to it; a verb between them starts a new clause."""
    start, first = len(phrases) - 1, max(0, len(phrases) - MOST_CONJUNCTS)
    while start > first and phrases[start].joints in LINKED | {(",", "and")} and not phrases[start].begins_clause:
        start -= 1
    return phrases[start:]
