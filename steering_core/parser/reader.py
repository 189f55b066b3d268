"""Reads the spatial relations that a text-to-image prompt states in English.

Relation wordings are matched word by word; the small words between noun phrases say how they belong together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import product, takewhile

from ..relations import Depth, DepthRelation, Place, Relation, Scene, Span, SpatialRelation
from .kinds import is_participle, is_person, is_person_tag, is_placeless, is_plural, is_verb, qualifies
from .marks import Mark, Word
from .phrases import Phrase
from .segments import LINKED, Segment, marks_of, segments_of
from .sentences import sentences
from .verbs import BEING, CARRYING, HOLDING, INTRANSITIVES_OF_ONE
from .words import BODY, BONDS, CREATURES, MARKINGS, MEASURES, OWNERS, PRONOUNS, RELATIVES, UNPLACED


def parse(prompt: str) -> Scene:
    """Find what a prompt states of the places of things, in time linear in its length.

    Reading rules:

    - A sentence ends at ``. ! ? ;``, an empty line or ``BREAK``; other line breaks are commas.
    - The subject is the head of its phrase: in "a cat in a box above a table" the cat. A photo "of"
      something, a group "of", a room "with" give way to what they show or hold.
    - In "A above B below C", B is the second subject, as after "which is". After "and" or a comma
      the first subject goes on: "A above B and left of C". A noun phrase after "and" is a subject
      if a relation follows it ("A above B and C left of D"), else an object ("A above B and C").
    - "Above A is B", "above A there is B" and "above A, B" mean B above A.
    - "X between A and B" and "X flanked by A and B" read from left to right: X is right of A and
      left of B. Between two of a kind ("between candles") it is near them.
    - "A on the left", "in the upper right corner A", "left: A, right: B" and "A left, B right" are places in the
      image, whatever else is there. "A to the left, B to the right" and "A on top, B at the bottom" may be meant beside
      a third, and only relate the two, as neighbours.
    - "A in front of B", "behind B" and "in the foreground", "foreground: A" state depth.
    - What is "with B on the left" or "with B at the top" may be A's part: no place is read there.
    - "A on B" means A above B where B can bear a thing: no ground, wall, state, time or part of a body.
    - "A with B above it" and "A with B to its left" relate B to A. "It" and "its" stand for what the
      relation before them ended with or else was named last, their own subject aside; "him", "her"
      and "its" after "with" rather for the subject. "Him" and "her" are persons before they are things, and
      "it" things before persons. "Which" and "that" are the phrase just before. In a sentence
      that has named nothing yet they stand for the first subject of the one before.
    - "A with B above its own C", "A holding B over C" and "with B above C" are about B.
    - Among tags, "1girl, a hat, flying above a city" is about the girl.
    - "Not above", "over the years", "under a starry sky" and their like state no relation.
    - Tags that the parser can tell for words of quality or style are no objects, nor are headings
      ("foreground:"), wildcards and LoRAs.

    Spans hold adjectives, compounds and possessives, but no determiners and no prompt weights; of a
    phrase that emphasis divides, as in "(red:1.2) dog" or "robot (chrome:1.3)", the part with the noun.

    Returns:
        The scene; its relations and what it states of depth are in reading order, and none if the prompt states none.

    Raises:
        TypeError: the prompt is not a string.
    """
    reader = _Reader(prompt)
    found = dict.fromkeys(stated for words in sentences(prompt) for stated in reader.read(words))
    return Scene(
        prompt,
        tuple(_without_contradictions([stated for stated in found if isinstance(stated, SpatialRelation)])),
        tuple(stated for stated in found if isinstance(stated, DepthRelation)),
    )


def objects(prompt: str) -> tuple[Span, ...]:
    """The phrases of a prompt that name things to place, related or not, in reading order.

    The head phrases by the rules of ``parse``: in "a photo of a cat in a box and a dog" cat and dog; and what it
    relates. Tags that describe a body, as "blue eyes", name none.
    """
    heads = {
        head.span
        for words in sentences(prompt)
        for segment in segments_of(prompt, words, marks_of(prompt, words))
        for head in segment.heads
        if head.noun not in BODY and not is_placeless(head.noun)
    }
    return tuple(sorted(heads.union(parse(prompt).objects), key=lambda span: span.start))


_BY_DIRECTION = {relation.direction: relation for relation in Relation}
_PLACES = {place.direction: place for place in Place}
_BETWEEN = (Relation.RIGHT_OF, Relation.LEFT_OF)
#: Conjuncts beyond these are ignored, to bound the pairs of "A and B … above C and D …".
_MOST_CONJUNCTS = 12
#: Pronouns for one who acts, rather than for what was named last.
_PERSONAL = {"him", "her", "his"}
_PLURAL = {"them", "their", "they"}


class _Reader:
    """Reads sentence by sentence, and remembers what a pronoun in the next may stand for."""

    def __init__(self, prompt: str):
        self._prompt = prompt
        #: What was spoken of, and what was named last.
        self._topic: tuple[Phrase, ...] = ()
        self._said: tuple[Phrase, ...] = ()

    def read(self, words: Sequence[Word]) -> Iterator[SpatialRelation | DepthRelation]:
        marks = marks_of(self._prompt, words)
        segments = list(segments_of(self._prompt, words, marks, self._topic))
        subjects, objects, placed = tuple[Phrase, ...](), tuple[Phrase, ...](), list[tuple[Phrase, Mark]]()
        named, topic, used, taken, referred = [*self._topic], tuple[Phrase, ...](), 0, 0, False
        said = [*self._said]
        for index, (mark, left, right) in enumerate(zip(marks, segments, segments[1:])):
            named = [*named, *left.heads][-_MOST_CONJUNCTS:]
            said = [*said, *left.phrases][-_MOST_CONJUNCTS:]
            recent = [*subjects, *objects] if _is_about_subject(mark, left) and not referred else [*objects, *subjects]
            fresh, earlier, own = left.heads[taken:], left.heads[:taken], left.heads[used:]
            objects = () if mark.pronoun else _objects(mark, right, final=index + 1 == len(marks))
            taken = used = len(objects)
            referred = bool(mark.pronoun)
            owned = mark.end < len(words) and words[mark.end].text in OWNERS
            after = right.heads[taken:]
            inverted = _is_inverted(mark, left, after, alone=not (fresh or earlier), first=not subjects)
            if inverted:
                subjects, taken = tuple(after[:1]), taken + 1
            else:
                subjects = _subjects(mark, left, fresh, earlier, subjects, named, owned=owned, alone=not own)
            topic = topic or subjects[:1]
            accompanies = subjects == (left.companion,)
            if mark.pronoun in RELATIVES:
                objects = (left.last,) if left.last else tuple(named[-1:])
            elif mark.pronoun and accompanies and own and mark.pronoun not in _PLURAL:
                objects = own[-1:]  # "a plate, with a fork beside it"
            elif mark.pronoun:
                aside = subjects if fresh or left.breaks_off or accompanies else (*subjects, *earlier)
                objects = self._meant(mark, subjects, recent, named, said, aside)
            if mark.is_of_one:
                again = not (own or inverted) or subjects[-1:] == tuple(phrase for phrase, _ in placed[-1:])
                if left.last and not left.tail and again:
                    subjects = (left.last,)  # "an alien on the left gazes at a monolith on the right"
                if subjects:
                    placed.append((subjects[-1], mark))
                    yield from _relate_places(*placed[-2:])
                    yield from _placed(subjects[-1], mark, left.companion if subjects[-1] in left.heads else None)
            elif mark.depth:
                for subject, thing in product(subjects, objects):
                    yield from _relate(subject, mark.depth, thing)
            elif mark.kind == "between":
                yield from _relate_between(subjects, objects)
            else:
                for subject, thing in product(subjects, objects):
                    if mark.kind != "on" or subject.noun not in MARKINGS:
                        yield from _relate(subject, _BY_DIRECTION[mark.x or 0, mark.y or 0], thing)
        self._said = (*said, *segments[-1].phrases)[-_MOST_CONJUNCTS:]
        refers = any(mark.pronoun for mark in marks) or not PRONOUNS.isdisjoint(word.text for word in words)
        if not (refers and self._topic):
            self._topic = topic or next((segment.heads[:1] for segment in segments if segment.heads), self._topic)

    def _meant(
        self,
        mark: Mark,
        subjects: Sequence[Phrase],
        recent: Sequence[Phrase],
        named: Sequence[Phrase],
        said: Sequence[Phrase],
        aside: Sequence[Phrase],
    ) -> tuple[Phrase, ...]:
        """What a mark's pronoun stands for.

        Args:
            recent: of the mark before, what it is most likely of.
            named, said: heads so far, and all phrases.
            aside: what it cannot stand for.
        """
        here = [phrase for phrase in named if phrase not in self._topic]
        others = [*here, *self._topic] if mark.pronoun in _PERSONAL else named[::-1]
        before = [phrase for phrase in said if not subjects or phrase.span.start < subjects[0].span.start]
        meant = _referent(mark.pronoun, [*recent, *others], before, aside)
        if mark.kind == "between" and not any(is_plural(thing.noun) for thing in meant):
            return tuple(phrase for phrase in named if phrase not in subjects)[-2:]
        return meant


def _is_inverted(mark: Mark, left: Segment, after: Sequence[Phrase], *, alone: bool, first: bool) -> bool:
    """Whether a mark says something of what stands ``after`` its objects.

    Args:
        alone: nothing stands to its left that it may be said of.
        first: it is the first mark of its sentence.
    """
    if mark.is_of_one and left.tail and is_participle(left.tail[-1]):  # "a cup, placed on the left, …"
        return False
    paused = mark.is_of_one or (alone and first) or left.tail[-2:] == ("and", ",")
    return (alone or left.breaks_off or mark.pronoun in RELATIVES) and _inverts(after, paused=paused)


def _subjects(
    mark: Mark,
    left: Segment,
    fresh: tuple[Phrase, ...],
    earlier: tuple[Phrase, ...],
    subjects: tuple[Phrase, ...],
    named: Sequence[Phrase],
    *,
    owned: bool,
    alone: bool,
) -> tuple[Phrase, ...]:
    """What a mark says something of, that stands to its left.

    There are first the objects of an ``earlier`` mark, whose ``subjects`` may go on, and then ``fresh`` heads. What
    the mark's object is ``owned`` by is no subject if it has a companion: "a dog with a bird above its head"; nor are
    the objects of an earlier mark, where the companion is ``alone`` with them: "in front of a bar with a sign above".
    """
    if left.last and left.last not in left.heads and not RELATIVES.isdisjoint(left.tail):
        return (left.last,)
    if left.companion and (alone or _is_of_companion(mark, left.companion, left, owned=owned)):
        return (left.companion,)
    finite = bool(left.tail) and left.tail[-1] in INTRANSITIVES_OF_ONE  # "a man with a cane sits on": the man
    if left.companion and mark.kind == "on" and not finite and not is_participle(left.companion.joints[-1]):
        return ()  # "a man with a bird on a stick": who is on it?
    acts = len(left.tail) > 1 and left.tail[-2] == "," and is_participle(left.tail[-1])
    persons = [phrase for phrase in named if is_person_tag(phrase.noun)]
    if persons and not mark.is_of_one and (acts or left.tail == (",",)):  # "1girl, witch hat, flying above a city"
        return tuple(persons[-1:])
    stands = len(left.tail) > 1 and left.tail[-2] == "," and left.tail[-1] in INTRANSITIVES_OF_ONE | BEING
    if (acts or stands) and fresh:  # "a dog, laurel wreath, sitting on a throne"
        things = (not (is_placeless(phrase.noun) or qualifies(phrase.noun)) for phrase in fresh)
        first = next((index for index, is_thing in enumerate(things) if is_thing), 0)
        return (fresh[first], *takewhile(lambda phrase: phrase.joints in LINKED, fresh[first + 1 :]))
    if fresh:
        return fresh[-1:] if mark.pronoun else _last_run(fresh)
    return earlier[-1:] if earlier and not left.breaks_off and not mark.pronoun else subjects


def _is_of_companion(mark: Mark, companion: Phrase, left: Segment, *, owned: bool) -> bool:
    """Whether a mark says something of what accompanies a head, or what it acts on, and not of the head."""
    if companion.joints[-1] == "whose" or mark.pronoun or not RELATIVES.isdisjoint(left.tail):
        return True
    if left.tail and left.tail[-1] in INTRANSITIVES_OF_ONE:
        return False
    held = mark.y == -1 and mark.kind == "relation" and not HOLDING.isdisjoint(companion.joints)
    return held or (owned and not CARRYING.isdisjoint(companion.joints))


def _is_about_subject(mark: Mark, left: Segment) -> bool:
    """Whether the mark's pronoun rather stands for a clause's subject than for what was named last."""
    of_several = mark.depth is not None and mark.pronoun in _PLURAL  # "A in front of B, C behind them": behind both
    return of_several or mark.pronoun in _PERSONAL or (mark.pronoun == "its" and left.companion is not None)


def _referent(
    pronoun: str, candidates: Iterable[Phrase], said: Sequence[Phrase], aside: Sequence[Phrase]
) -> tuple[Phrase, ...]:
    """The first candidate that agrees with a pronoun and is none of those ``aside``.

    Persons agree with "him" and things with "it" before others do; where no candidate does, what was ``said`` last.
    """
    spans, plural = {phrase.span for phrase in aside}, pronoun in _PLURAL
    fitting, more = (
        [phrase for phrase in phrases if phrase.span not in spans and (plural or not is_plural(phrase.noun))]
        for phrases in (candidates, reversed(said))
    )
    agreeing = [phrase for phrase in (*fitting, *more) if plural or is_person(phrase.noun) == (pronoun in _PERSONAL)]
    alive = [phrase for phrase in fitting if pronoun in _PERSONAL and phrase.noun in CREATURES]
    return tuple((agreeing or alive or fitting)[:1])


def _objects(mark: Mark, right: Segment, *, final: bool) -> tuple[Phrase, ...]:
    """The phrases that follow the mark at once; those that "and" adds, unless they are the next mark's subjects."""
    if mark.is_of_one or not right.heads or right.heads[0].joints:
        return ()
    several = right.heads[1:_MOST_CONJUNCTS]
    linked = list(takewhile(lambda phrase: phrase.joints in LINKED and not phrase.begins_clause, several))
    if mark.kind == "between":
        return right.heads[: 2 if linked else 1]
    ends = right.breaks_off or (final and not any(map(is_verb, right.tail)))
    return right.heads[: 1 + len(linked) if ends else 1]


def _inverts(after: Sequence[Phrase], *, paused: bool) -> bool:
    """Whether the first phrase after the objects is the subject: "above A is B", "above A, B" if ``paused``."""
    joints = after[0].joints if after else ("nothing",)
    return not joints or is_verb(joints[-1]) or (paused and joints == (",",))


def _last_run(phrases: tuple[Phrase, ...]) -> tuple[Phrase, ...]:
    """The last phrase and those that "and" ties to it; a verb between them starts a new clause."""
    start, first = len(phrases) - 1, max(0, len(phrases) - _MOST_CONJUNCTS)
    while start > first and phrases[start].joints in LINKED | {(",", "and")} and not phrases[start].begins_clause:
        start -= 1
    return phrases[start:]


def _without_contradictions(relations: Sequence[SpatialRelation]) -> Iterator[SpatialRelation]:
    """All but the places of what would be at opposite sides at once: "two dogs, one on the left, one on the right"."""
    places = defaultdict[Span, list[Place]](list)
    for relation in relations:
        if isinstance(relation.relation, Place):
            places[relation.subject].append(relation.relation)
    for relation in relations:
        others = places[relation.subject] if isinstance(relation.relation, Place) else []
        if not any(a * b < 0 for other in others for a, b in zip(other.direction, relation.relation.direction)):
            yield relation


def _placed(subject: Phrase, mark: Mark, companion: Phrase | None) -> Iterator[SpatialRelation | DepthRelation]:
    """Where a phrase is in the picture, or how near, unless that is meant of its companion."""
    beside = companion is not None and companion.joints[-1] in {"with", "whose", "at"}
    if mark.kind == "layer":
        behind = mark.depth is Depth.IN_BACKGROUND  # "a dog with a kite in the background": the kite
        named = companion if companion is not None and beside and behind else subject
        if mark.depth and not is_placeless(named.noun):
            yield DepthRelation(named.span, mark.depth, None)
    elif mark.kind != "aside" and not (is_placeless(subject.noun) or subject.noun in UNPLACED | BODY):
        place = _PLACES[mark.x or 0, mark.y or 0]
        if companion is None or not (beside or mark.y is not None or place is Place.AT_CENTER):
            yield SpatialRelation(subject.span, place, None)


def _relate_places(*placed: tuple[Phrase, Mark]) -> Iterator[SpatialRelation | DepthRelation]:
    """Relate two neighbours, one of which is said to be aside, on the axes that both marks fix."""
    (first, a), (second, b) = placed[0], placed[-1]
    if "aside" not in (a.kind, b.kind):
        return
    x, y = (0 if p is None or q is None else (p > q) - (p < q) for p, q in ((a.x, b.x), (a.y, b.y)))
    if x or y:
        yield from _relate(first, _BY_DIRECTION[x, y], second)


def _relate_between(subjects: Sequence[Phrase], things: Sequence[Phrase]) -> Iterator[SpatialRelation | DepthRelation]:
    """Right of the first and left of the second; near several of one name, whose middle the subject is in."""
    for subject in subjects:
        if subject.noun in BONDS:
            continue
        if len(things) == 1 and (is_plural(things[0].noun) or things[0].noun in MEASURES):
            yield from _relate(subject, Relation.NEAR, things[0])
        elif len(things) == 2:
            for relation, thing in zip(_BETWEEN, things):
                yield from _relate(subject, relation, thing)


def _relate(subject: Phrase, relation: Relation | Depth, thing: Phrase) -> Iterator[SpatialRelation | DepthRelation]:
    if subject.span == thing.span or is_placeless(subject.noun) or is_placeless(thing.noun):
        return
    if isinstance(relation, Depth):
        yield DepthRelation(subject.span, relation, thing.span)
    else:
        yield SpatialRelation(subject.span, relation, thing.span)
