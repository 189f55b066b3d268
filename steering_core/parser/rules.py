"""Reads by rules the spatial relations that a text-to-image prompt states in English.

A tagger tells things from verbs, wordings of relations are matched word by word, and the small words between noun
phrases say how they belong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..relations.scene import Scene
from ..relations.statement import DepthRelation, SpatialRelation, Statement
from .clauses import (
    MOST_CONJUNCTS,
    Before,
    Phrases,
    inverts,
    is_inverted,
    members_of_list,
    objects_of,
    subjects_of,
    with_list,
)
from .enumerations import enumerations
from .marks import Mark
from .phrases import Phrase
from .referents import Discourse, Mention, is_about_subject
from .segments import Segment, heads_of, marks_of, segments_of
from .sentences import sentences
from .statements import neighbours, ordered, placed, related, without_contradictions
from .tagged import Word
from .words import FRAMES, LINKS, OWNERS, PERCHES, REFERRING, X

#: Words between the phrases of a plain prompt: "a photo of a cat above a dog, and a bird".
_PLAIN = LINKS | {",", "of", "with", "is", "are"}


class ReadByRules(NamedTuple):
    """What rules read in a prompt.

    Attributes:
        scene: what it states.
        found: all that was read, with what contradicts itself and is left out of the scene.
        segments: what stands between what relates phrases.
        listed: of what was read that which a list tells by its order: "from left to right: a cat, a dog".
    """

    scene: Scene
    found: tuple[Statement, ...]
    segments: tuple[Segment, ...]
    listed: frozenset[Statement] = frozenset()

    @property
    def heads(self) -> list[Phrase]:
        """All its head phrases."""
        return heads_of(self.segments)

    @property
    def is_plain(self) -> bool:
        """Whether the prompt is nothing but things, all of which are related, and what relates them.

        "On the left dog" is not plain: that can be a place, and a dog after it.
        """
        related = {end for stated in self.found for end in stated.ends}
        return bool(related) and all(
            _PLAIN.issuperset(segment.tail)
            and all(
                _PLAIN.issuperset(phrase.joints)
                and (phrase.span in related or phrase.noun in FRAMES)
                and phrase.span.text.split()[0].casefold() not in X
                for phrase in segment.phrases
            )
            for segment in self.segments
        )


def read_by_rules(prompt: str) -> ReadByRules:
    """Find what a prompt states of the places of things, in time linear in its length.

    Reading rules:

    - A sentence ends at ``. ! ? ;``, an empty line, a point of a list or ``BREAK``; other line breaks are commas.
    - The subject is the head of its phrase: in "a cat in a box above a table" the cat. A photo "of"
      something, a group "of", a room "with" give way to what they show or hold.
    - In "A above B below C", B is the second subject, as after "which is". After "and" or a comma
      the first subject goes on: "A above B and left of C", and after a verb: "A with B above it stands on C". A noun
      phrase after "and" is a subject if a relation follows it ("A above B and C left of D"), else an object
      ("A above B and C").
    - "Above A is B", "above A there is B" and "above A, B" mean B above A; so does "on A next to C stands B", and in
      "on A are B, C and D" all three are meant.
    - "A on B next to C" is about A at C.
    - "X between A and B" and "X flanked by A and B" read from left to right: X is right of A and
      left of B. Between two of a kind ("between candles") it is near them.
    - "A on the left", "in the upper right corner A", "left: A, right: B" and "A left, B right" are places in the
      image, whatever else is there. "A to the left, B to the right" and "A on top, B at the bottom" may be meant beside
      a third, and only relate the two, as neighbours; "A to the left of B, C to the right" relates C to B.
    - "A in front of B", "behind B" and "in the foreground", "foreground: A" state depth.
    - What is "with B on the left" or "with B at the top" may be A's part: no place is read there, but in a corner, and
      where A is a picture or a landscape.
    - "A on B" means A above B where B can bear a thing: no ground, state, time or part of a body, unless A is said to
      sit or stand there.
    - "A with B above it" and "A with B to its left" relate B to A. "It" and "him" stand for the subject of the relation
      before them, their own aside, and for its object where both are of one thing ("left of A and right of it"). "Him"
      and "her" are persons before they are creatures or things, and "it" things before persons. "Which" and "that" are
      the phrase just before. In a sentence that has named nothing yet they stand for the first subject of the last
      sentence that did not refer back itself.
    - "A with B above its own C", "A holding B over C" and "with B above C" are about B.
    - "From left to right: A, B and C" and "A, B and C from left to right" are about each of a list and the next one.
    - "A above, B below" relates the two where A is what a sentence begins with; "C between them" is below A then.
    - Among tags, "1girl, a hat, flying above a city" is about the girl.
    - "Not above", "over the years", "under a starry sky" and their like state no relation.
    - Tags that the parser can tell for words of quality or style are no objects, nor are headings
      ("foreground:"), wildcards and LoRAs; "barcode: bottom right" and "behind it: a wall" are statements.

    What spans hold is told in ``parse``.

    Raises:
        TypeError: the prompt is not a string.
    """
    discourse, found, segments, listed = Discourse(), dict[Statement, None](), list[Segment](), set[Statement]()
    for words in sentences(prompt):
        sentence = _Sentence(prompt, words, discourse)
        found |= dict.fromkeys(sentence.read())
        in_order = [stated for enumeration in enumerations(prompt, words) for stated in ordered(*enumeration)]
        found |= dict.fromkeys(in_order)
        listed.update(in_order)
        segments += sentence.segments
    relations = [stated for stated in found if isinstance(stated, SpatialRelation)]
    depth = tuple(stated for stated in found if isinstance(stated, DepthRelation))
    scene = Scene(prompt, tuple(without_contradictions(relations)), depth)
    return ReadByRules(scene, tuple(found), tuple(segments), frozenset(listed))


class _Sentence:
    """A sentence, read mark by mark."""

    def __init__(self, prompt: str, words: Sequence[Word], discourse: Discourse):
        self._words, self._discourse = words, discourse
        self._marks = marks_of(prompt, words)
        self.segments = list(segments_of(prompt, words, self._marks, discourse.topic))
        self._named = [*discourse.topic]
        self._said = discourse.said
        # Of the mark before:
        self._last: Mark | None = None
        self._subjects: Phrases = ()
        self._objects: Phrases = ()
        self._taken = 0  #: how many heads to its right are its own
        self._owned = self._borne = False
        # Of the clause and the sentence:
        self._main: Phrases = ()
        self._topic: Phrases = ()
        self._placed: Phrases = ()  #: the last phrase of which a mark of one said something
        self._sides: tuple[tuple[Phrase, Mark], ...] = ()  #: the last two that have a place, and which
        #: A mark that nothing was found of yet: "on the desk next to the bed stands a lamp".
        self._dangling: tuple[Mark, Phrases] | None = None

    def read(self) -> Iterator[Statement]:
        """What it states."""
        for first, last in self._runs():
            yield from self._read(self._marks[first : last + 1], self.segments[first], self.segments[last + 1])
        self._discourse.said = self._and_said(self.segments[-1])
        pronouns = any(mark.pronoun for mark in self._marks)
        self._discourse.end_sentence(
            self._topic,
            heads_of(self.segments),
            refers=pronouns or not REFERRING.isdisjoint(word.text for word in self._words),
            sides=any(mark.x for mark in self._marks),
        )

    def _runs(self) -> Iterator[tuple[int, int]]:
        """The numbers of the first and the last of marks that say something of one phrase and stand side by side.

        They are of the same: "a tree in the foreground on the left".
        """
        first = 0
        for at, mark in enumerate(self._marks):
            follows = at + 1 < len(self._marks) and self._marks[at + 1].start == mark.end
            if not (follows and mark.is_of_one and self._marks[at + 1].is_of_one):
                yield first, at
                first = at + 1

    def _and_said(self, segment: Segment) -> Phrases:
        return (*self._said, *segment.phrases)[-MOST_CONJUNCTS:]

    def _read(self, run: Sequence[Mark], left: Segment, right: Segment) -> Iterator[Statement]:
        mark, final = run[0], run[-1] is self._marks[-1]
        before = self._before(left)
        recent = self._recent(mark, left)
        self._objects = objects_of(mark, right, final=final)
        self._taken = len(self._objects)
        self._owned = mark.end < len(self._words) and self._words[mark.end].text in OWNERS
        inverted = self._choose_subjects(mark, before, right, final=final)
        accompanies = self._subjects == (left.companion,)
        self._note_topic(before, accompanies=accompanies, inverted=inverted)
        held = with_list(left) if mark.pronoun and not inverted else ()
        if held:  # "a table with a book, a pen and a cup on it"
            self._objects, self._subjects = held[:1], held[1:]
        elif mark.pronoun:
            mention = Mention(mark, before, self._subjects, accompanies, recent, self._said)
            self._objects = mention.referents(self._discourse)
        self._last, self._borne = mark, mark.kind == "on" and not inverted
        if before.fresh or inverted:
            self._dangling = None
        if mark.is_of_one:
            yield from self._place(run, before, inverted=inverted)
        else:
            self._discourse.note_side(mark, self._objects, inverted=inverted)
            if not self._is_on_itself(mark):
                yield from related(self._upright(mark), self._subjects, self._objects)
        yield from self._read_dangling(mark, right, final=final)

    def _choose_subjects(self, mark: Mark, before: Before, right: Segment, *, final: bool) -> bool:
        """Find what a mark says something of; whether that stands after its objects."""
        after = right.heads[self._taken :]
        if is_inverted(mark, before, after):
            self._subjects = members_of_list(after, right, final=final)
            self._taken += len(self._subjects)
            return True
        self._subjects = subjects_of(mark, before, owned=self._owned)
        if self._dangling and not self._subjects:
            self._subjects = before.earlier[-1:]
        return False

    def _note_topic(self, before: Before, *, accompanies: bool, inverted: bool) -> None:
        """Keep what the clause and the sentence are about: a head rather than its companion."""
        heads = before.segment.heads
        if before.fresh or not before.earlier or before.earlier[-1] in self._subjects:
            of_head = (accompanies or not self._subjects) and not inverted
            self._main = heads[-1:] if of_head else self._subjects
        self._topic = self._topic or (heads[-1:] if accompanies and heads else self._subjects[:1])

    def _is_on_itself(self, mark: Mark) -> bool:
        """Whether a body is its own subject's: "a turtle on its back"."""
        owned = self._owned and mark.kind == "on" and all(one.noun in PERCHES for one in self._objects)
        return owned and set(self._named) <= {*self._subjects, *self._objects}

    def _upright(self, mark: Mark) -> Mark:
        """A mark that knows which of its objects is the upper: "the moon above, the sea below, a boat between them"."""
        phrases, sides = tuple(phrase for phrase, _ in self._sides), [side for _, side in self._sides]
        if mark.kind != "between" or self._objects != phrases or any(side.x is not None for side in sides):
            return mark
        return mark._replace(y=sides[0].y if sides else None)

    def _before(self, left: Segment) -> Before:
        """What stands to the left of a mark, told from the mark before."""
        self._named = [*self._named, *left.heads][-MOST_CONJUNCTS:]
        self._said = self._and_said(left)
        return Before(
            left,
            earlier=left.heads[: self._taken],
            fresh=left.heads[self._taken :],
            own=left.heads[0 if self._last is None or self._last.pronoun else len(self._objects) :],
            subjects=self._subjects,
            main=self._main,
            named=self._named,
            borne=self._borne,
        )

    def _recent(self, mark: Mark, left: Segment) -> Phrases:
        """What a pronoun most likely stands for."""
        if is_about_subject(self._last, mark, left):
            recent = (*self._subjects, *self._objects)
        else:
            recent = (*self._objects, *self._subjects)
        if self._owned:  # "a robot, a bird on its shoulder, a deer beside it"
            return (*[one for one in self._named if one not in self._subjects][:1], *recent)
        return recent

    def _place(self, run: Sequence[Mark], before: Before, *, inverted: bool) -> Iterator[Statement]:
        """Where the subjects are in the picture."""
        left = before.segment
        again = not (before.own or inverted) or self._subjects[-1:] == self._placed
        if left.last and not left.tail and again:
            self._subjects = (left.last,)  # "an alien on the left gazes at a monolith on the right"
        for mark in run:
            opposite = self._discourse.opposite(mark)
            for subject in self._subjects if inverted or mark.kind == "layer" else self._subjects[-1:]:
                if opposite:
                    yield from related(mark, (subject,), opposite)
                    continue
                self._placed = (subject,)
                self._discourse.placed.add(subject)
                if mark.kind != "layer":
                    held = left.companion if mark.kind == "upon" and subject in left.heads else None
                    self._sides = (*self._sides[-1:], (held or subject, mark))
                    # "A city, fog below, gulls above": of the city rather than of each other.
                    is_of_others = any(side.kind == "upon" for _, side in self._sides)
                    if not is_of_others or self._sides[0][0] in self._named[:1]:
                        yield from neighbours(*self._sides)
                yield from placed(subject, mark, left.companion if subject in left.heads else None)

    def _read_dangling(self, mark: Mark, right: Segment, *, final: bool) -> Iterator[Statement]:
        """What a mark says of what follows on the next one: "on the desk next to the bed stands a lamp"."""
        after = right.heads[self._taken :]
        if self._dangling is None:
            if self._objects and not (self._subjects or mark.is_of_one):
                self._dangling = (mark, self._objects)
        elif inverts(after, paused=True):
            dangling, things = self._dangling
            if self._topic in (self._objects[:1], things[:1]):
                self._topic = tuple(after[:1])
            self._subjects = members_of_list(after, right, final=final)
            self._taken += len(self._subjects)
            self._dangling = None
            yield from related(dangling, self._subjects, things)
