"""Reads the spatial relations that a text-to-image prompt states in English.

Relation wordings are matched word by word; the small words between noun phrases say how they belong together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, repeat, takewhile
from typing import NamedTuple

from .relations import Relation, Scene, Span, SpatialRelation


def parse(prompt: str) -> Scene:
    """Find the spatial relations of a prompt, in time linear in its length.

    Reading rules:

    - A sentence ends at ``. ! ? ;``, an empty line or ``BREAK``; other line breaks are commas.
    - The subject is the head of its phrase: in "a cat in a box above a table" the cat. A photo "of"
      something, a group "of", a room "with" give way to what they show or hold.
    - In "A above B below C", B is the second subject, as after "which is". After "and" or a comma
      the first subject goes on: "A above B and left of C". A noun phrase after "and" is a subject
      if a relation follows it ("A above B and C left of D"), else an object ("A above B and C").
    - "Above A is B", "above A there is B" and "above A, B" mean B above A.
    - "X between A and B" reads from left to right: X is right of A and left of B.
    - "A on the left and B on the right" relates neighbours whose places in the image differ.
    - "it" and "them" stand for the head phrase last named in the sentence, their own subject aside.
    - "Not above", "over the years", "under a starry sky" and their like state no relation.

    Spans hold adjectives, compounds and possessives, but no determiners and no prompt weights; of a
    phrase that emphasis divides, as in "(red:1.2) dog", the part with the noun.

    Returns:
        The scene; its relations are in reading order, and none if the prompt states none.

    Raises:
        TypeError: the prompt is not a string.
    """
    found = (relation for words in _sentences(prompt) for relation in _read(prompt, words))
    return Scene(prompt, tuple(dict.fromkeys(found)))


def objects(prompt: str) -> tuple[Span, ...]:
    """The phrases of a prompt that name things to place, related or not, in reading order.

    The head phrases by the rules of ``parse``: in "a photo of a cat in a box and a dog" cat and dog.
    """
    spans = {
        head.span
        for words in _sentences(prompt)
        for segment in _segments(prompt, words, list(_marks(words)))
        for head in segment.heads
        if head.noun not in _PLACELESS
    }
    return tuple(sorted(spans, key=lambda span: span.start))


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Direction words and the axis, x or y, that each fixes.
_X = {"left": -1, "right": 1, "center": 0, "centre": 0, "middle": 0}
_Y = dict.fromkeys(_set("above over atop top upper"), -1)
_Y |= dict.fromkeys(_set("below under underneath beneath bottom lower"), 1)
_BY_DIRECTION = {relation.direction: relation for relation in Relation}
_BETWEEN = (Relation.RIGHT_OF, Relation.LEFT_OF)
#: Conjuncts beyond these are ignored, to bound the pairs of "A and B … above C and D …".
_MOST_CONJUNCTS = 12
_DETERMINERS = _set("""a an the this that these those some any each every another both several many few my your his her
    its our their one two three four five six seven eight nine ten eleven twelve dozen""")
_PRONOUNS = _set("it them him he she they")
_RELATIVES = _set("which that who where whose")
_LINKS = _set("and & plus or")
_LINKED = {(link,) for link in _LINKS}
_COORDINATORS = _LINKS | _set(", but while whereas then")
_COPULAS = _set("is are was were be stands sits lies hangs floats hovers rests flies sleeps sat stood lay perches")
_PREPOSITIONS = _set("""of with without in on at to by from into onto inside outside through behind against during for
    like across along around among before after towards off up down out upon within near above below over under""")
_TRANSITIVES = _set("""wearing holding carrying riding eating chasing pulling pushing watching kicking throwing catching
    showing featuring depicting containing made dressed wears holds carries rides eats chases shows has have looks
    walks runs jumps swims plays leans soars grows looms set put seen shown drawn kept hung""")
_ADVERBS = _set("there here also now again not only just directly together away apart too")
#: Words between noun phrases; "\\(" opens an aside, such as "dog \\(animal\\)".
_JOINTS = (_COORDINATORS | _COPULAS | _PREPOSITIONS | _TRANSITIVES | _ADVERBS | _RELATIVES - {"that"}) | _set(
    "been being will would should must could may might i we you as than so if when because \\("
)
_BREAKS = _JOINTS | _DETERMINERS
#: Nouns that end like participles, and endings of nouns that end like adverbs.
_NOUNS_LIKE_VERBS = _set("""building ceiling painting drawing ring king wing string swing clothing wedding railing
    earring lightning pudding thing spring duckling dumpling awning bed seed shed sled weed reed steed moped red""")
_NOUN_ENDINGS_LIKE_ADVERBS = ("fly", "family", "lily", "elly", "doily", "anomaly", "assembly", "bully", "ally")
#: Nouns that give way to the phrase after "of".
_MEASURES = _set("group pair couple bunch herd flock pile piece slice number lot row stack set one kind type")
#: Nouns that give way to the phrase after one of ``_SHOWING``, except as the object of a relation.
_FRAMES = _set("""photo photograph picture image painting drawing illustration render rendering sketch art artwork shot
    view scene close-up closeup up portrait watercolor depiction snapshot cartoon poster still screenshot print room
    kitchen bedroom bathroom street landscape park garden forest beach field city office""")
_SHOWING = _set("of with where showing featuring depicting containing")
#: Head nouns that have no place in an image.
_PLACELESS = _set("""all nothing none everything anything other others way year years time times weeks days months
    decade decades century hours minutes future past construction control attack pressure influence stress arrest
    repair development renovation accord course age old zero average freezing lighting sunlight moonlight daylight
    starlight candlelight rain sky skies cover distance death""")

_DEGREES = "directly just immediately slightly somewhat diagonally exactly closely high low far up down off right over"
_SOFTLY = rf"(?:(?:{_DEGREES.replace(' ', '|')}|a bit|a little) ){{0,3}}"
_THE = r"(?:the )?(?:(?:far|very|immediate|direct|extreme) )?"
_TO_THE = rf"(?:(?:to|on|at|in|by|towards?) )?{_THE}"
_SIDE = r"(?:left|right)"
_PART = r"(?: hand side| side| edge| part| half| corner)?"
_UPRIGHT = r"(?:above|over|atop|below|underneath|under|beneath)"
_END = rf"(?:on|at|to) {_THE}(?:top|bottom){_PART}"
_IMAGE = r" of (?:the|an?|this) (?:image|picture|photo|photograph|frame|scene|screen|canvas|shot|composition)"
#: What relates two phrases, the longer wording first; the direction words in it say which relation it is.
_WORDINGS = (
    rf"(?:{_UPRIGHT}|{_END}(?: of)?) and {_SOFTLY}{_TO_THE}{_SIDE}{_PART} of",
    rf"{_UPRIGHT} (?:to the )?{_SIDE}{_PART} of",
    rf"(?:to {_THE})?{_SIDE}{_PART}(?: of)? and {_SOFTLY}{_UPRIGHT}(?: of)?",
    rf"{_TO_THE}(?:(?:upper|lower|top|bottom) )?{_SIDE}{_PART} of",
    r"side by side with|(?:on|at|by|to) (?:the |one )?side of|in (?:the )?(?:vicinity of|proximity (?:of|to))",
    r"next to|near(?: to)?|nearby(?: to)?|beside|(?:very )?close to|adjacent to|alongside(?: of)?",
    rf"{_END} of|{_UPRIGHT}(?: of)?",
)
_IDIOMS = (
    rf"not {_SOFTLY}(?:{'|'.join(_WORDINGS)})",
    r"all over|over and over|over (?:there|here)|over (?:the|his|her|their|one's) shoulders?|the (?:near|above|below)",
    rf"(?:looking|facing|turned|turning|pointing)(?: to| towards?)?(?: the| his| her| its)? {_SIDE}(?! (?:side )?of)",
)
_CENTERED = rf"(?:(?:(?:upper|lower|top|bottom) )?{_SIDE}|top|bottom|center|centre|middle){_PART}"
#: A place in the image stands alone: "in the left hand" and "on top form" are none.
_ALONE = rf"(?=$| (?:{'|'.join(map(re.escape, sorted(_BREAKS)))}|\w+ing)(?!\S))"
_MARK = re.compile(
    rf"(?<!\S)(?:(?P<idiom>{'|'.join(_IDIOMS)})|(?P<framed>(?:on|at|in) {_THE}{_CENTERED}{_IMAGE})"
    rf"|{_SOFTLY}(?:(?P<relation>{'|'.join(_WORDINGS)})|(?P<between>(?:in )?between))"
    rf"|(?P<place>(?:on|at|to|in) {_THE}{_CENTERED}{_ALONE}))(?!\S)"
)
_TOKEN = re.compile(
    r"""(?P<weight>:\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)\s*(?=\)))
    | (?P<end>[.!?;\u3002\uff01\uff1f\uff1b]|\n[^\S\n]*\n|\b(?-i:BREAK)\b(?!-))
    | (?P<line>\n(?![^\S\n]*of\b))
    | (?P<pause>[,:|\uff0c\u3001–—]|-(?=\s)|<[^<>]*>|embedding:\S+)
    | (?P<word>\b(?:st|mr|mrs|ms|dr)\.(?=\ \w)|\d+(?:[.,]\d+)*\w*|\w+(?:['’-]\w+)*|&|\\\()""",
    re.VERBOSE | re.IGNORECASE,
)
#: Words that a line may break after without a pause.
_HANGING = {"and", "next", "close", "adjacent", "beside", *_DETERMINERS, *_COPULAS, *_PREPOSITIONS, *_X, *_Y}
#: Parts of compounds that are read as words of their own, as in "above-left" and "left-hand side".
_COMPOUNDED = {"hand", "side", *_X, *_Y}


class _Word(NamedTuple):
    """A word in lower case, or a comma for any pause, and its range in the prompt."""

    text: str
    start: int
    end: int


class _Mark(NamedTuple):
    """Words of a sentence that state a ``relation``, a ``place`` or ``between``; an axis left open is None."""

    kind: str
    x: int | None
    y: int | None
    start: int
    end: int


class _Phrase(NamedTuple):
    """A noun phrase, its last word, and the words that stand between the phrase before and it."""

    span: Span
    noun: str
    joints: tuple[str, ...]


class _Segment(NamedTuple):
    """The head phrases between two marks, and the words after the last phrase."""

    heads: tuple[_Phrase, ...]
    tail: tuple[str, ...]

    @property
    def breaks_off(self) -> bool:
        """Whether what follows goes on with an earlier subject: "… and", "…, is", but not "…, which is"."""
        return not _COORDINATORS.isdisjoint(self.tail) and _RELATIVES.isdisjoint(self.tail)


def _sentences(prompt: str) -> Iterator[list[_Word]]:
    words: list[_Word] = []
    for match in _TOKEN.finditer(prompt):
        if match.lastgroup == "end":
            yield words
            words = []
        elif match.lastgroup == "word":
            words += _split(match.group(), match.start())
        elif match.lastgroup == "pause" or (match.lastgroup == "line" and words and words[-1].text not in _HANGING):
            words.append(_Word(",", match.start(), match.end()))
    yield words


def _split(word: str, start: int) -> Iterator[_Word]:
    parts = word.split("-")
    for part in parts if _COMPOUNDED.issuperset(word.lower().split("-")) else [word]:
        yield _Word(part.lower(), start, start + len(part))
        start += len(part) + 1


def _marks(words: Sequence[_Word]) -> Iterator[_Mark]:
    starts = {at: index for index, at in enumerate(accumulate((len(word.text) + 1 for word in words), initial=0))}
    for match in _MARK.finditer(" ".join(word.text for word in words)):
        stated = (match["relation"] or match.group()).split()
        x, y = (next((axis[word] for word in stated if word in axis), None) for axis in (_X, _Y))
        kind = "place" if match["framed"] else str(match.lastgroup)
        if kind != "idiom":
            yield _Mark(kind, x, y, starts[match.start()], starts[match.end() + 1])


def _segments(prompt: str, words: Sequence[_Word], marks: Sequence[_Mark]) -> Iterator[_Segment]:
    segment, named = _Segment((), ()), list[_Phrase]()
    bounds = [0, *(bound for mark in marks for bound in (mark.start, mark.end)), len(words)]
    for start, end in zip(bounds[::2], bounds[1::2]):
        phrases, tail = _phrases(prompt, words[start:end])
        # A pronoun after the mark is the object: it cannot stand for the subject just before the mark.
        known = named[-2:-1] if segment.heads and not segment.breaks_off else named[-1:]
        segment = _Segment(_heads(phrases, known, opening=not start), tail)
        named += segment.heads
        yield segment


def _phrases(prompt: str, words: Sequence[_Word]) -> tuple[list[_Phrase], tuple[str, ...]]:
    phrases, joints, nouns, determined = list[_Phrase](), list[str](), list[_Word](), False
    texts = [",", *(word.text for word in words), "the", ""]
    for index, text in enumerate(texts[1:-1]):  # the last "the" only closes the last phrase
        role = _role(texts[index], text, texts[index + 2], inside=bool(nouns), determined=determined)
        if role == "noun":
            nouns.append(words[index])
            continue
        while nouns and _is_adverb(nouns[-1].text):
            nouns.pop()
        if nouns:
            phrases.append(_Phrase(_span(prompt, nouns), nouns[-1].text, tuple(joints)))
            joints, nouns = [], []
        joints += [text] if role == "joint" else []
        determined = role == "determiner"
    return phrases, tuple(joints)


def _role(before: str, word: str, after: str, *, inside: bool, determined: bool) -> str:
    """``noun`` (part of a phrase), ``determiner`` or ``joint``; a phrase has words if ``inside``, or is to begin."""
    fresh = determined and not inside
    nominal = after not in _BREAKS and not _is_adverb(after)
    if word in _PRONOUNS or (word == "her" and not nominal):
        return "noun"
    if word == "that" and (after in _JOINTS or _is_participle(after)):
        return "joint"
    if word in _DETERMINERS or (not inside and (word.isdigit() or word == "\\(")) or (fresh and word == "of"):
        return "determiner"
    if fresh and (word in _TRANSITIVES | _COPULAS or _is_participle(word)):
        return "noun"
    joins = word in _JOINTS or (word == "can" and after == "be")
    return "joint" if joins or (_is_participle(word) and (before in _COPULAS or not nominal)) else "noun"


def _is_participle(word: str) -> bool:
    return word.endswith(("ing", "ed")) and word not in _NOUNS_LIKE_VERBS


def _is_adverb(word: str) -> bool:
    return word.endswith("ly") and not word.endswith(_NOUN_ENDINGS_LIKE_ADVERBS)


def _span(prompt: str, words: Sequence[_Word]) -> Span:
    """The last words that no markup divides."""
    first = len(words) - 1
    while first and not prompt[words[first - 1].end : words[first].start].strip(" \t\r\n'’-"):
        first -= 1
    start, end = words[first].start, words[-1].end
    return Span(prompt[start:end], start, end)


def _heads(phrases: Iterable[_Phrase], known: Sequence[_Phrase], *, opening: bool) -> tuple[_Phrase, ...]:
    """The phrases that modify no other, ``opening`` if no mark precedes them; a pronoun is what it stands for."""
    heads: list[_Phrase] = []
    after_head = False
    for phrase in phrases:
        yields = after_head and _gives_way(heads[-1].noun, phrase.joints, as_object=not opening and len(heads) == 1)
        after_head = yields or not phrase.joints or phrase.joints[-1] in _COORDINATORS | _COPULAS | _ADVERBS
        if after_head:
            if phrase.noun in _PRONOUNS | {"her"}:
                phrase = known[-1]._replace(joints=phrase.joints) if known else phrase._replace(noun="nothing")
            heads.append(phrase._replace(joints=heads.pop().joints) if yields else phrase)
            known = [phrase]
    return tuple(heads)


def _gives_way(noun: str, joints: Sequence[str], *, as_object: bool) -> bool:
    framed = noun in _FRAMES and not as_object and not _SHOWING.isdisjoint(joints[:1])
    return framed or (noun in _MEASURES and joints == ("of",))


def _read(prompt: str, words: Sequence[_Word]) -> Iterator[SpatialRelation]:
    marks = list(_marks(words))
    segments = list(_segments(prompt, words, marks))
    subjects, objects, placed = tuple[_Phrase, ...](), tuple[_Phrase, ...](), list[tuple[_Phrase, _Mark]]()
    for index, (mark, left, right) in enumerate(zip(marks, segments, segments[1:])):
        fresh, earlier = left.heads[len(objects) :], objects
        objects = _objects(mark, right, final=index + 1 == len(marks))
        alone = not fresh and not earlier
        paused = mark.kind == "place" or (alone and not subjects)
        if (alone or left.breaks_off) and _inverts(right.heads[len(objects) :], paused=paused):
            subjects = right.heads[len(objects) :][:1]
        elif fresh:
            subjects = _last_run(fresh)
        elif earlier and not left.breaks_off:
            subjects = earlier[-1:]
        if mark.kind == "place" and subjects:
            placed.append((subjects[-1], mark))
            yield from _relate_places(*placed[-2:])
        relations = _BETWEEN if mark.kind == "between" else repeat(_BY_DIRECTION[mark.x or 0, mark.y or 0])
        for subject in subjects:
            for relation, thing in zip(relations, objects):
                yield from _relate(subject, relation, thing)


def _objects(mark: _Mark, right: _Segment, *, final: bool) -> tuple[_Phrase, ...]:
    """The phrases that follow the mark at once; those that "and" adds, unless they are the next mark's subjects."""
    if mark.kind == "place" or not right.heads or right.heads[0].joints:
        return ()
    linked = list(takewhile(lambda phrase: phrase.joints in _LINKED, right.heads[1:_MOST_CONJUNCTS]))
    if mark.kind == "between":
        return right.heads[:2] if linked else ()
    ends = right.breaks_off or (final and _COPULAS.isdisjoint(right.tail))
    return right.heads[: 1 + len(linked) if ends else 1]


def _inverts(after: Sequence[_Phrase], *, paused: bool) -> bool:
    """Whether the first phrase after the objects is the subject: "above A is B", "above A, B" if ``paused``."""
    joints = after[0].joints if after else ("nothing",)
    return not joints or joints[-1] in _COPULAS or (paused and joints == (",",))


def _last_run(phrases: tuple[_Phrase, ...]) -> tuple[_Phrase, ...]:
    """The last phrase and those that "and" ties to it; a verb between them starts a new clause."""
    start, first = len(phrases) - 1, max(0, len(phrases) - _MOST_CONJUNCTS)
    while start > first and phrases[start].joints in _LINKED | {(",", "and")}:
        start -= 1
    return phrases[start:]


def _relate_places(*placed: tuple[_Phrase, _Mark]) -> Iterator[SpatialRelation]:
    """Relate two phrases on the axes that both their places fix."""
    (first, a), (second, b) = placed[0], placed[-1]
    x, y = (0 if p is None or q is None else (p > q) - (p < q) for p, q in ((a.x, b.x), (a.y, b.y)))
    if x or y:
        yield from _relate(first, _BY_DIRECTION[x, y], second)


def _relate(subject: _Phrase, relation: Relation, thing: _Phrase) -> Iterator[SpatialRelation]:
    if subject.span != thing.span and _PLACELESS.isdisjoint((subject.noun, thing.noun)):
        yield SpatialRelation(subject.span, relation, thing.span)
