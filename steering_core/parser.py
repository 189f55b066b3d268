"""Reads the spatial relations that a text-to-image prompt states in English.

Relation wordings are matched word by word; the small words between noun phrases say how they belong together.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, product, takewhile
from typing import NamedTuple

from .marks import PLACES, Mark, Word, read_marks
from .relations import Depth, DepthRelation, Place, Relation, Scene, Span, SpatialRelation
from .words import (
    ABSTRACT_ENDINGS,
    ADVERBS,
    BODY,
    BONDS,
    BREAKS,
    CONCRETE,
    COORDINATORS,
    COPULAS,
    DETERMINERS,
    FRAMES,
    HEADINGS,
    JOINTS,
    LINKS,
    MARKINGS,
    MEASURES,
    NO_SUPPORTS,
    NOUN_ENDINGS_LIKE_ADVERBS,
    NOUN_ENDINGS_LIKE_THIRD_PERSON,
    NOUNS_LIKE_VERBS,
    OWNERS,
    PARTICIPLES,
    PLACELESS,
    PLURAL_VERBS,
    PLURALS,
    POSTURES,
    PREPOSITIONS,
    PRONOUNS,
    QUALIFIERS,
    QUALIFYING_ENDINGS,
    RELATIVES,
    SHOWING,
    SINGULAR,
    STANDS,
    SUPPORTS,
    TRANSITIVES,
    UNPLACED,
    X,
    Y,
)


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
      and "its" after "with" rather for the subject. "Which" is the phrase just before. In a sentence
      that has named nothing yet they stand for the first subject of the one before.
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
    found = dict.fromkeys(stated for words in _sentences(prompt) for stated in reader.read(words))
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
        for words in _sentences(prompt)
        for segment in _segments(prompt, words, _marks(prompt, words))
        for head in segment.heads
        if head.noun not in BODY and not _is_placeless(head.noun)
    }
    return tuple(sorted(heads.union(parse(prompt).objects), key=lambda span: span.start))


_BY_DIRECTION = {relation.direction: relation for relation in Relation}
_PLACES = {place.direction: place for place in Place}
_BETWEEN = (Relation.RIGHT_OF, Relation.LEFT_OF)
#: Conjuncts beyond these are ignored, to bound the pairs of "A and B … above C and D …".
_MOST_CONJUNCTS = 12
#: Words after "on" among which its noun is looked for.
_LONGEST_SUPPORT = 10
_LINKED = {(link,) for link in LINKS}
#: Pronouns for one who acts, rather than for what was named last.
_PERSONAL = {"him", "her", "his"}
_PLURAL = {"them", "their", "they"}
_TOKEN = re.compile(
    r"""(?P<weight>:\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)\s*(?=[)\]}]))
    | (?P<end>[.!?;\u3002\uff01\uff1f\uff1b]|\n[^\S\n]*\n|\b(?-i:BREAK)\b(?!-))
    | (?P<line>\n(?![^\S\n]*of\b))
    | (?P<heading>(?<![^\s,.;|])(?:the\ )?(?:PLACES|foreground|background)(?=:\s):)
    | (?P<pause>[,:|\uff0c\u3001–—]|-(?=\s)|<[^<>]*>|embedding:\S+|\b(?:HEADINGS):(?=\s)|__\w+?__)
    | (?P<word>\b(?:st|mr|mrs|ms|dr)\.(?=\ \w)|\d+(?:[.,]\d+)*\w*|\w+(?:['’-]\w+)*|&|\\\()""".replace(
        "HEADINGS", "|".join(sorted(HEADINGS))
    ).replace("PLACES", PLACES),
    re.VERBOSE | re.IGNORECASE,
)
#: Words that a line may break after without a pause.
_HANGING = {"and", "next", "close", "adjacent", "beside", *DETERMINERS, *COPULAS, *PREPOSITIONS, *X, *Y}
#: Parts of compounds that are read as words of their own, as in "above-left" and "left-hand side".
_COMPOUNDED = {"hand", "side", *X, *Y}


class _Phrase(NamedTuple):
    """A noun phrase, its last word, and the words that stand between the phrase before and it."""

    span: Span
    noun: str
    joints: tuple[str, ...]
    #: Whether a verb stands between the head before and it, so that "and" begins a clause.
    begins_clause: bool = False


class _Segment(NamedTuple):
    """The head phrases between two marks, what the last of them is "with" or acts on, and the words after the last."""

    heads: tuple[_Phrase, ...]
    companion: _Phrase | None
    tail: tuple[str, ...]

    @property
    def breaks_off(self) -> bool:
        """Whether what follows goes on with an earlier subject: "… and", "…, is", but not "…, which is"."""
        return not COORDINATORS.isdisjoint(self.tail) and RELATIVES.isdisjoint(self.tail)


def _sentences(prompt: str) -> Iterator[list[Word]]:
    words: list[Word] = []
    for match in _TOKEN.finditer(prompt):
        if match.lastgroup == "end":
            yield words
            words = []
        elif match.lastgroup == "heading":
            words += _heading(match)
        elif match.lastgroup == "word":
            words += _split(match.group(), match.start())
        elif match.lastgroup == "pause" or (match.lastgroup == "line" and words and words[-1].text not in _HANGING):
            words.append(Word(",", match.start(), match.end()))
    yield words


def _heading(match: re.Match[str]) -> Iterator[Word]:
    """ "Left side: a dog" says the same as ", in left side, a dog"."""
    start, end = match.span()
    yield from (Word(",", start, start), Word("in", start, start))
    for word in re.finditer(r"\w+", match.group()):
        yield Word(word.group().lower(), start + word.start(), start + word.end())
    yield Word(",", end - 1, end)


def _split(word: str, start: int) -> Iterator[Word]:
    parts = word.split("-")
    for part in parts if _COMPOUNDED.issuperset(word.lower().split("-")) else [word]:
        yield Word(part.lower(), start, start + len(part))
        start += len(part) + 1


def _marks(prompt: str, words: Sequence[Word]) -> list[Mark]:
    """What relates two phrases; of the many uses of "on" those by which one thing bears another."""
    marks = list(read_marks(words))
    if len({mark.x for mark in marks if mark.kind == "bare"}) < 2:  # "a town left in ruins", "turn right"
        marks = [mark for mark in marks if mark.kind != "bare"]
    ends = [*(mark.start for mark in marks[1:]), len(words)]
    return [mark for mark, end in zip(marks, ends) if mark.kind != "on" or _bears(prompt, words, mark, end)]


def _bears(prompt: str, words: Sequence[Word], mark: Mark, end: int) -> bool:
    """Whether by "on" what stands before it rests upon what follows it, before the ``end``."""
    before = mark.start - 1
    while before >= 0 and _is_adverb(words[before].text):
        before -= 1
    word = words[before].text if before >= 0 else ","
    if word not in POSTURES | COORDINATORS | RELATIVES and (word in BREAKS or _is_participle(word)):
        return False
    if mark.pronoun:
        return True
    after = words[mark.end : min(end, mark.end + _LONGEST_SUPPORT)]
    phrases, _ = _phrases(prompt, after)
    if not phrases or phrases[0].joints or phrases[0].noun in NO_SUPPORTS or phrases[0].noun.isdigit():
        return False
    return after[0].text in DETERMINERS or phrases[0].noun in SUPPORTS


def _segments(
    prompt: str, words: Sequence[Word], marks: Sequence[Mark], topic: Sequence[_Phrase] = ()
) -> Iterator[_Segment]:
    known = list(topic)
    bounds = [0, *(bound for mark in marks for bound in (mark.start, mark.end)), len(words)]
    for start, end in zip(bounds[::2], bounds[1::2]):
        phrases, tail = _phrases(prompt, words[start:end])
        segment = _segment(phrases, tail, known, opening=not start)
        known = list(segment.heads[-1:]) or known
        yield segment


def _phrases(prompt: str, words: Sequence[Word]) -> tuple[list[_Phrase], tuple[str, ...]]:
    phrases, joints, nouns, determiner = list[_Phrase](), list[str](), list[Word](), ""
    texts = [",", *(word.text for word in words), "these", ""]
    for index, text in enumerate(texts[1:-1]):  # "these" only closes the last phrase
        linked = not LINKS.isdisjoint(joints[-1:])
        role = _role(texts[index], text, texts[index + 2], bool(nouns), determiner, linked)
        if role == "noun":
            nouns.append(words[index])
            continue
        while nouns and _is_adverb(nouns[-1].text):
            nouns.pop()
        if nouns:
            nouns = _unqualified(prompt, nouns)
            noun = "nothing" if nouns[0].text == "no" else nouns[-1].text
            phrases.append(_Phrase(_span(prompt, nouns), noun, tuple(joints)))
            joints, nouns = [], []
        joints += [text] if role == "joint" else []
        determiner = text if role == "determiner" else ""
    return phrases, tuple(joints)


def _role(before: str, word: str, after: str, inside: bool, determiner: str, linked: bool) -> str:
    """``noun`` (part of a phrase), ``determiner`` or ``joint``.

    A phrase has words if ``inside``, or is to begin; it is ``linked`` by "and" to the phrase before.
    """
    fresh = bool(determiner) and not inside
    nominal = after not in BREAKS and not _is_adverb(after)
    if word in PRONOUNS or (word == "her" and not nominal):
        return "noun"
    if word == "that" and (after in JOINTS or _is_participle(after) or _is_third_person(after)):
        return "joint"
    if word in DETERMINERS or (not inside and (word.isdigit() or word == "\\(")) or (fresh and word == "of"):
        return "determiner"
    if fresh and (word in TRANSITIVES | COPULAS or _is_participle(word)):
        return "noun"
    joins = word in JOINTS or (word == "can" and after == "be")
    several = _is_plural(before) or (linked and not nominal and before not in STANDS)
    verb = inside and several and word in PLURAL_VERBS
    if not fresh and _is_third_person(word):
        governs = after in SINGULAR | OWNERS | {"the"}  # "guards a chest"
        verb = governs or before in RELATIVES or (_is_singular_subject(determiner, word) and not nominal)
    participle = _is_participle(word) and (before in COPULAS or not nominal)
    return "joint" if joins or verb or participle else "noun"


def _is_participle(word: str) -> bool:
    return word in PARTICIPLES or (word.endswith(("ing", "ed")) and word not in NOUNS_LIKE_VERBS)


def _is_third_person(word: str) -> bool:
    return word.endswith("s") and not word.endswith(NOUN_ENDINGS_LIKE_THIRD_PERSON)


def _is_singular_subject(determiner: str, verb: str) -> bool:
    """Whether what a determiner begins may be one thing, of which the third person tells something."""
    return determiner in SINGULAR or (bool(determiner) and verb.removesuffix("s") in PLURAL_VERBS)


def _is_plural(noun: str) -> bool:
    return noun in PLURALS or (noun.endswith("s") and not noun.endswith(("ss", "us", "is", "'s", "’s")))


def _is_adverb(word: str) -> bool:
    return word.endswith("ly") and not word.endswith(NOUN_ENDINGS_LIKE_ADVERBS)


def _is_verb(word: str) -> bool:
    return word in COPULAS | TRANSITIVES | PLURAL_VERBS or (word not in JOINTS and _is_third_person(word))


def _unqualified(prompt: str, words: list[Word]) -> list[Word]:
    """The words of a phrase without what stands in brackets after it to say how it is: "a robot (chrome:1.3)"."""
    first = len(words)
    while first and _qualifies(words[first - 1].text):
        first -= 1
    bracketed = 0 < first < len(words) and not {"(", "["}.isdisjoint(prompt[words[first - 1].end : words[first].start])
    return words[:first] if bracketed else words


def _qualifies(word: str) -> bool:
    return word in QUALIFIERS or word.endswith(QUALIFYING_ENDINGS)


def _span(prompt: str, words: Sequence[Word]) -> Span:
    """The last words that no markup divides."""
    first = len(words) - 1
    while first and not prompt[words[first - 1].end : words[first].start].strip(" \t\r\n'’-"):
        first -= 1
    start, end = words[first].start, words[-1].end
    return Span(prompt[start:end], start, end)


def _segment(phrases: Sequence[_Phrase], tail: tuple[str, ...], known: Sequence[_Phrase], *, opening: bool) -> _Segment:
    """The phrases that modify no other are heads, ``opening`` if no mark precedes them.

    A pronoun is what it stands for, the phrase last ``known``.
    """
    heads, companion = list[_Phrase](), None
    after_head = begins_clause = False
    for phrase in phrases:
        yields = bool(heads) and _gives_way(
            heads[-1].noun, phrase.joints, as_object=not opening and len(heads) == 1, directly=after_head
        )
        after_head = yields or not phrase.joints or phrase.joints[-1] in COORDINATORS | COPULAS | ADVERBS
        begins_clause = begins_clause or any(map(_is_verb, phrase.joints))
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
    return _Segment(tuple(heads), companion, tail)


def _accompanies(joint: str) -> bool:
    return joint in {"with", "whose", "at"} or _is_verb(joint) or _is_participle(joint)


def _gives_way(noun: str, joints: Sequence[str], *, as_object: bool, directly: bool = True) -> bool:
    """Whether what was named before the joints shows or holds what follows them."""
    framed = noun in FRAMES and not SHOWING.isdisjoint(joints[:1] if directly else ())
    relative = joints[-1:] == ("where",) or joints[-2:] == ("in", "which")
    return (not as_object and (framed or relative)) or (directly and noun in MEASURES and joints == ("of",))


class _Reader:
    """Reads sentence by sentence, and remembers what a pronoun in the next may stand for."""

    def __init__(self, prompt: str):
        self._prompt = prompt
        self._topic: tuple[_Phrase, ...] = ()

    def read(self, words: Sequence[Word]) -> Iterator[SpatialRelation | DepthRelation]:
        marks = _marks(self._prompt, words)
        segments = list(_segments(self._prompt, words, marks, self._topic))
        subjects, objects, placed = tuple[_Phrase, ...](), tuple[_Phrase, ...](), list[tuple[_Phrase, Mark]]()
        named, topic, taken, referred = [*self._topic], tuple[_Phrase, ...](), 0, False
        for index, (mark, left, right) in enumerate(zip(marks, segments, segments[1:])):
            named = [*named, *left.heads][-_MOST_CONJUNCTS:]
            recent = [*subjects, *objects] if _is_about_subject(mark, left) and not referred else [*objects, *subjects]
            fresh, earlier = left.heads[taken:], left.heads[:taken]
            objects = () if mark.pronoun else _objects(mark, right, final=index + 1 == len(marks))
            taken, referred = len(objects), bool(mark.pronoun)
            subjects = _subjects(mark, left, right.heads[taken:], fresh, earlier, subjects)
            topic = topic or subjects[:1]
            if mark.pronoun in RELATIVES:
                objects = (left.companion,) if left.companion else tuple(named[-1:])
            elif mark.pronoun:
                aside = subjects if fresh or left.breaks_off else (*subjects, *earlier)
                others = named if mark.pronoun in _PERSONAL else named[::-1]
                objects = _referent(mark.pronoun, [*recent, *others], aside)
            if mark.is_of_one:
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
        refers = any(mark.pronoun for mark in marks) or not PRONOUNS.isdisjoint(word.text for word in words)
        if not (refers and self._topic):
            self._topic = topic or next((segment.heads[:1] for segment in segments if segment.heads), self._topic)


def _subjects(
    mark: Mark,
    left: _Segment,
    after: Sequence[_Phrase],
    fresh: tuple[_Phrase, ...],
    earlier: tuple[_Phrase, ...],
    subjects: tuple[_Phrase, ...],
) -> tuple[_Phrase, ...]:
    """What a mark says something of, between what stands to its left and ``after`` its objects.

    To its left are first the objects of an ``earlier`` mark, whose ``subjects`` may go on, and then ``fresh`` heads.
    """
    alone = not fresh and not earlier
    paused = mark.is_of_one or (alone and not subjects) or left.tail[-2:] == ("and", ",")
    if (alone or left.breaks_off or mark.pronoun in RELATIVES) and _inverts(after, paused=paused):
        return tuple(after[:1])
    owned = left.companion is not None and left.companion.joints[-1] == "whose"
    if left.companion and (owned or mark.pronoun or not RELATIVES.isdisjoint(left.tail)):
        return (left.companion,)
    if left.companion and mark.kind == "on" and not _is_participle(left.companion.joints[-1]):
        return ()  # "a man with a bird on a stick": who is on it?
    if fresh:
        return fresh[-1:] if mark.pronoun else _last_run(fresh)
    return earlier[-1:] if earlier and not left.breaks_off and not mark.pronoun else subjects


def _is_about_subject(mark: Mark, left: _Segment) -> bool:
    """Whether the mark's pronoun rather stands for a clause's subject than for what was named last."""
    of_several = mark.depth is not None and mark.pronoun in _PLURAL  # "A in front of B, C behind them": behind both
    return of_several or mark.pronoun in _PERSONAL or (mark.pronoun == "its" and left.companion is not None)


def _referent(pronoun: str, candidates: Iterable[_Phrase], aside: Sequence[_Phrase]) -> tuple[_Phrase, ...]:
    """The first candidate that agrees with a pronoun in number and is none of those ``aside``."""
    spans = {phrase.span for phrase in aside}
    others = (phrase for phrase in candidates if phrase.span not in spans)
    return tuple(islice((phrase for phrase in others if pronoun in _PLURAL or not _is_plural(phrase.noun)), 1))


def _objects(mark: Mark, right: _Segment, *, final: bool) -> tuple[_Phrase, ...]:
    """The phrases that follow the mark at once; those that "and" adds, unless they are the next mark's subjects."""
    if mark.is_of_one or not right.heads or right.heads[0].joints:
        return ()
    linked = list(takewhile(lambda phrase: phrase.joints in _LINKED, right.heads[1:_MOST_CONJUNCTS]))
    if mark.kind == "between":
        return right.heads[: 2 if linked else 1]
    ends = right.breaks_off or (final and not any(map(_is_verb, right.tail)))
    return right.heads[: 1 + len(linked) if ends else 1]


def _inverts(after: Sequence[_Phrase], *, paused: bool) -> bool:
    """Whether the first phrase after the objects is the subject: "above A is B", "above A, B" if ``paused``."""
    joints = after[0].joints if after else ("nothing",)
    return not joints or _is_verb(joints[-1]) or (paused and joints == (",",))


def _last_run(phrases: tuple[_Phrase, ...]) -> tuple[_Phrase, ...]:
    """The last phrase and those that "and" ties to it; a verb between them starts a new clause."""
    start, first = len(phrases) - 1, max(0, len(phrases) - _MOST_CONJUNCTS)
    while start > first and phrases[start].joints in _LINKED | {(",", "and")} and not phrases[start].begins_clause:
        start -= 1
    return phrases[start:]


def _is_placeless(noun: str) -> bool:
    return noun in PLACELESS or (noun.endswith(ABSTRACT_ENDINGS) and noun not in CONCRETE)


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


def _placed(subject: _Phrase, mark: Mark, companion: _Phrase | None) -> Iterator[SpatialRelation | DepthRelation]:
    """Where a phrase is in the picture, or how near, unless that is meant of its companion."""
    beside = companion is not None and companion.joints[-1] in {"with", "whose", "at"}
    if mark.kind == "layer":
        named = companion if companion is not None and beside else subject
        if mark.depth and not _is_placeless(named.noun):
            yield DepthRelation(named.span, mark.depth, None)
    elif mark.kind != "aside" and not (_is_placeless(subject.noun) or subject.noun in UNPLACED | BODY):
        place = _PLACES[mark.x or 0, mark.y or 0]
        if companion is None or not (beside or mark.y is not None or place is Place.AT_CENTER):
            yield SpatialRelation(subject.span, place, None)


def _relate_places(*placed: tuple[_Phrase, Mark]) -> Iterator[SpatialRelation | DepthRelation]:
    """Relate two neighbours, one of which is said to be aside, on the axes that both marks fix."""
    (first, a), (second, b) = placed[0], placed[-1]
    if "aside" not in (a.kind, b.kind):
        return
    x, y = (0 if p is None or q is None else (p > q) - (p < q) for p, q in ((a.x, b.x), (a.y, b.y)))
    if x or y:
        yield from _relate(first, _BY_DIRECTION[x, y], second)


def _relate_between(
    subjects: Sequence[_Phrase], things: Sequence[_Phrase]
) -> Iterator[SpatialRelation | DepthRelation]:
    """Right of the first and left of the second; near several of one name, whose middle the subject is in."""
    for subject in subjects:
        if subject.noun in BONDS:
            continue
        if len(things) == 1 and _is_plural(things[0].noun):
            yield from _relate(subject, Relation.NEAR, things[0])
        elif len(things) == 2:
            for relation, thing in zip(_BETWEEN, things):
                yield from _relate(subject, relation, thing)


def _relate(subject: _Phrase, relation: Relation | Depth, thing: _Phrase) -> Iterator[SpatialRelation | DepthRelation]:
    if subject.span == thing.span or _is_placeless(subject.noun) or _is_placeless(thing.noun):
        return
    if isinstance(relation, Depth):
        yield DepthRelation(subject.span, relation, thing.span)
    else:
        yield SpatialRelation(subject.span, relation, thing.span)
