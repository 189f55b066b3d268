"""What a prompt states, by rules and by the network that has read prompts: each mends what the other gets wrong."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from ..relations.depth import Depth
from ..relations.place import Place
from ..relations.relation import Relation
from ..relations.scene import Scene
from ..relations.statement import DepthRelation, Span, SpatialRelation, Statement, statement_of
from .likelihood import Guess, Likelihoods, likelihoods
from .lists import listed
from .marks import NOT
from .network import Kind
from .phrases import Phrase
from .rules import ReadByRules
from .sentences import lettering, unwanted
from .words import REFERRING, X, Y

Stated = TypeVar("Stated", bound=Statement)


class Thresholds(NamedTuple):
    """When the network overrules.

    Attributes:
        least: what rules read and the network finds less likely is dropped.
        sure: what the network finds at least so likely is added.
    """

    least: float
    sure: float


#: Chosen on prompts that the network was not trained on (``python -m tools.train_reader``).
THRESHOLDS = Thresholds(least=0.85, sure=0.96)
#: How a word ends that owns what follows it.
_OWNED = ("'s", "\u2019s")
#: From here on a guess tells the names of what rules read.
_LIKELY = 0.5
#: What stands for a thing that is named elsewhere, or names none. "She" and "he" can be whom a prompt is of.
_NAMELESS = (REFERRING - {"she", "he"}) | listed(
    "a an the i me you we us former latter something anything everything nothing none nobody space"
)
#: What a quotation can say of its own words alone: 'write "SUMMER" at the top' says it of the writing.
_OF_PLACES = {*X, *Y, "foreground", "background"}
#: Says of what stands around it that it is not so.
_DENIED = re.compile(rf"\b(?:{NOT}|cannot)\b", re.IGNORECASE)
#: Leaves open what stands around it: "to the left or the right of".
_LEFT_OPEN = re.compile(rf"\b(?:{'|'.join((*X, *Y))}) or (?:to )?(?:the )?(?:{'|'.join((*X, *Y))})\b", re.IGNORECASE)


def judged(read: ReadByRules, thresholds: Thresholds = THRESHOLDS) -> Scene:
    """A scene that rules read, without what the network finds unlikely, and with what it is sure of besides.

    A plain prompt the rules read without a fault; so nothing of it is judged.
    """
    likely = None if read.is_plain else likelihoods(read.scene.prompt)
    if likely is None:
        return read.scene
    names = _Names(read, likely)
    kept = names.kept((*read.scene.relations, *read.scene.depth), thresholds.least, read.listed)
    relations = [one for one in kept if isinstance(one, SpatialRelation)]
    depth = [one for one in kept if isinstance(one, DepthRelation)]
    for guess in sorted(likely.likeliest(thresholds.sure), key=lambda guess: -guess.likelihood):
        added = names.statement_of(guess)
        if any(str(one) == str(added) for one in (*relations, *depth)):
            continue  # of two things with one name the network may not tell which
        if isinstance(added, SpatialRelation):
            _insert(relations, added)
        elif isinstance(added, DepthRelation):
            _insert(depth, added)
    return Scene(read.scene.prompt, tuple(relations), tuple(depth))


def _insert(stated: list[Stated], added: Stated) -> None:
    """Put a statement where it stands in reading order: before the first that is finished later."""
    stated.insert(next((at for at, one in enumerate(stated) if _end(one) > _end(added)), len(stated)), added)


def _end(statement: Statement) -> int:
    return max(span.end for span in statement.ends)


#: The numbers of the things that a statement is of; the second is none for a place.
_Things = tuple[int, int | None]


class _Names:
    """Which words of a prompt name one thing, "a cup of tea" is either's, and what was said of which."""

    def __init__(self, read: ReadByRules, likely: Likelihoods):
        self._prompt, self._likely = read.scene.prompt, likely
        self._unwanted, self._lettering = list(unwanted(self._prompt)), list(lettering(self._prompt))
        self._thing_of = list(range(len(likely.words)))  #: of each word the number of its thing
        self._phrases: dict[int, Phrase] = {}  #: of each word its phrase
        for segment in read.segments:
            self._note_things(segment.phrases)
        self._words_of = defaultdict[int, list[int]](list)
        for word, thing in enumerate(self._thing_of):
            self._words_of[thing].append(word)
        heads = (head.span for head in read.heads)
        self._known = {self._thing(span): span for span in (*heads, *read.scene.objects)}
        self._settled = set[int]()  #: things that have one name from now on
        self._said = defaultdict[_Things, list[Kind]](list)
        for stated in read.found:
            if things := self._things(stated):
                self._note(stated.relation, things)

    def _note_things(self, phrases: Sequence[Phrase]) -> None:
        before: int | None = None
        for phrase in phrases:
            first, last = (self._likely.word_at(at) for at in (phrase.span.start + 1, phrase.span.end))
            if first is None or last is None:
                before = None
                continue
            before = before if phrase.joints == ("of",) and before is not None else last
            for word in range(first, last + 1):
                self._thing_of[word], self._phrases[word] = before, phrase

    def _thing(self, span: Span) -> int | None:
        """The number of what a span names; none where the network does not read so far."""
        word = self._likely.word_at(span.end)
        return None if word is None else self._thing_of[word]

    def _things(self, statement: Statement) -> _Things | None:
        """What a statement is of; none where the network does not read so far."""
        subject = self._thing(statement.subject)
        object = self._thing(statement.object) if statement.object else None
        return None if subject is None or (statement.object and object is None) else (subject, object)

    def _note(self, kind: Kind, things: _Things) -> None:
        """Keep what was said of things, as it is said of the subject and of the object."""
        self._said[things].append(kind)
        if things[1] is not None:
            assert not isinstance(kind, Place)
            self._said[things[1], things[0]].append(kind.inverse)

    def kept(self, statements: Sequence[Stated], least: float, settled: Collection[Statement]) -> list[Stated]:
        """What the network finds at least so likely, with the names that it finds; and what it does not read.

        What is settled stays, however unlikely.

        A phrase ends with the last of the words that the network takes for its noun: "badger juggles" with the badger.
        """
        kept, ends = list[Stated](), defaultdict[Span, int](int)
        for statement in statements:
            guess = self._guess_of(statement)
            if guess is not None and guess.likelihood < least and statement not in settled:
                continue
            kept.append(statement)
            if guess is not None and guess.likelihood >= _LIKELY:
                for span, word in zip(statement.ends, (guess.subject, guess.object)):
                    ends[span] = max(ends[span], self._end_in(span, word))
        names = {span: Span.of(self._prompt, span.start, end) for span, end in ends.items()}
        for span, name in names.items():
            self._settle(self._thing(span), name)
        return [
            replace(
                one,
                subject=names.get(one.subject, one.subject),
                object=one.object and names.get(one.object, one.object),
            )
            for one in kept
        ]

    def _end_in(self, span: Span, word: int | None) -> int:
        """Where a word of a phrase ends; of another one the phrase's end."""
        start, end = (span.start, span.end) if word is None else self._likely.words[word]
        return end if span.start <= start < end < span.end else span.end

    def _settle(self, thing: int | None, name: Span) -> None:
        if thing is not None:
            self._known[thing] = name
            self._settled.add(thing)

    def _guess_of(self, statement: Statement) -> Guess | None:
        """What the network finds of the same things; none where it does not read so far.

        A diagonal or a corner is as likely as a side of it: where the network reads a half, rules may read the whole.
        """
        things = self._things(statement)
        if things is None:
            return None
        words = [self._words_of[thing] for thing in things if thing is not None]
        guesses = (self._likely.best(kind, *words) for kind in (statement.relation, *_sides(statement.relation)))
        return max(guesses, key=lambda guess: guess.likelihood)

    def statement_of(self, guess: Guess) -> Statement | None:
        """What the network finds, of the phrases that its words belong to.

        Nothing where they name no thing, where it is said not to be so, or where as much or the opposite was said
        already; also where rules have read another object for the same: then theirs stays.
        """
        subject = self._span_of(guess.subject)
        object = None if guess.object is None else self._span_of(guess.object)
        things = self._thing_of[guess.subject], None if guess.object is None else self._thing_of[guess.object]
        if subject is None or (guess.object is not None and (object is None or things[0] == things[1])):
            return None
        if any(_are_at_odds(said, guess.kind) for said in self._said[things]) or self._has_object(
            guess.kind, things[0]
        ):
            return None
        if self._is_denied(guess) or self._is_written(guess):
            return None
        self._note(guess.kind, things)
        self._settle(things[0], subject)
        if object is not None:
            self._settle(things[1], object)
        return statement_of(subject, guess.kind, object)

    def _is_denied(self, guess: Guess) -> bool:
        """Whether "not" or "left or right" stands between two things, or after one in what is left of its clause."""
        start, end = self._likely.words[guess.subject]
        if guess.object is None:
            around = re.split(r"[,.;:\n]", self._prompt[end:], maxsplit=1)[0]
        else:
            other_start, other_end = self._likely.words[guess.object]
            around = self._prompt[min(end, other_end) : max(start, other_start)]
        return bool(_DENIED.search(around) or _LEFT_OPEN.search(around))

    def _is_written(self, guess: Guess) -> bool:
        """Whether it is said by what is written in the picture: a sign that says "cat above dog"."""
        words = [self._likely.words[word][0] for word in (guess.subject, guess.object) if word is not None]
        for start, end in self._lettering:
            if all(start <= first < end for first in words):
                quoted = set(re.findall(r"\w+", self._prompt[start:end].lower()))
                return len(words) > 1 or not quoted.isdisjoint(_OF_PLACES)
        return False

    def _has_object(self, kind: Kind, subject: int) -> bool:
        """Whether something was said of a subject and an object."""
        return any(kind in kinds for (of, object), kinds in self._said.items() if of == subject and object is not None)

    def _span_of(self, word: int) -> Span | None:
        """The name by which the scene knows what a word names; else its phrase up to it, without an owner's ending."""
        start, end = self._likely.words[word]
        text, phrase = self._prompt[start:end].lower(), self._phrases.get(word)
        owns = text.endswith(_OWNED)
        is_unwanted = any(first <= start < last for first, last in self._unwanted)
        if text in _NAMELESS or is_unwanted or (phrase and phrase.is_absent):
            return None
        thing = self._thing_of[word]
        if thing in self._settled:
            return self._known[thing]
        if phrase and phrase.span.end == end and not owns:
            return self._known.get(thing, phrase.span)
        return Span.of(self._prompt, phrase.span.start if phrase else start, end - (2 if owns else 0))


def _sides(kind: Kind) -> Iterator[Kind]:
    """The two sides of a diagonal or a corner."""
    if isinstance(kind, (Relation, Place)) and all(kind.direction):
        dx, dy = kind.direction
        yield from (side for side in type(kind) if side.direction in ((dx, 0), (0, dy)))


def _are_at_odds(one: Kind, other: Kind) -> bool:
    """Whether two kinds, said of the same things, say as much or the opposite of one axis, or of depth."""
    if isinstance(one, Depth) or isinstance(other, Depth):
        return isinstance(one, Depth) and isinstance(other, Depth)
    return one == other or any(a and b for a, b in zip(one.direction, other.direction))
