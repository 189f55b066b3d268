"""What was named so far, and what a pronoun stands for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .clauses import MOST_CONJUNCTS, Before, Phrases
from .kinds import is_person, is_plural
from .marks import Mark
from .phrases import Phrase, is_creature
from .segments import LINKED, Segment
from .words import BODY, OWNERS, RELATIVES

#: Pronouns for one who acts, rather than for what was named last.
_PERSONAL = {"him", "her", "his"}
#: More characters than a part of the body has.
_LONGEST_WORD = 20
_PLURAL = {"them", "their"}


@dataclass
class Discourse:
    """What the sentences so far were about.

    Attributes:
        topic: what was spoken of.
        said: the phrases that were named last, heads or not.
        heads: the heads of the sentence before.
        placed: what is somewhere in the picture.
        sided: at whose side something was just said to be, if "its right" is of the same.
        sided_by: the pronoun that said it.
        beside: at whose side something was said to be last.
        beside_x: at which.
    """

    topic: Phrases = ()
    said: Phrases = ()
    heads: Phrases = ()
    placed: set[Phrase] = field(default_factory=set)
    sided: Phrases = ()
    sided_by: str = ""
    beside: Phrases = ()
    beside_x: int = 0

    def note_side(self, mark: Mark, objects: Phrases, *, inverted: bool) -> None:
        """Keep what something is left or right of, for what is at its other side."""
        if mark.kind == "relation" and mark.x:
            same = not mark.y and (inverted or mark.pronoun in OWNERS)
            self.sided, self.sided_by = objects if same else (), mark.pronoun
            self.beside, self.beside_x = objects, mark.x

    def opposite(self, mark: Mark) -> Phrases:
        """What something is "to the right" of where another was to the left of it."""
        return self.beside[:1] if mark.kind == "aside" and mark.x == -self.beside_x else ()

    def end_sentence(self, topic: Phrases, heads: Sequence[Phrase], *, refers: bool, sides: bool) -> None:
        """Keep what the next sentence may refer to.

        Args:
            topic: what a sentence with marks was about.
            heads: of the sentence.
            refers: it referred to what was named before.
            sides: a mark of it told a side.
        """
        self.heads = tuple(heads[-MOST_CONJUNCTS:])
        if refers and self.topic:
            return
        if topic and not (refers or sides):
            self.sided = self.beside = ()
        self.topic = topic or tuple(heads[:1]) or self.topic


@dataclass(frozen=True)
class Mention:
    """A mark with a pronoun, and what it may stand for.

    Attributes:
        before: what stands to its left.
        subjects: what it says something of.
        accompanies: these are a companion of the head.
        recent: the subjects and objects of the mark before, the likeliest first.
        said: all phrases so far.
    """

    mark: Mark
    before: Before
    subjects: Phrases
    accompanies: bool
    recent: Sequence[Phrase]
    said: Sequence[Phrase]

    def referents(self, discourse: Discourse) -> Phrases:
        """What the pronoun stands for; nothing where that cannot be told."""
        pronoun, left, own = self.mark.pronoun, self.before.segment, self.before.own
        if pronoun in RELATIVES:
            nearest = _told_of(left)
            return (nearest,) if nearest else tuple(self.before.named[-1:])
        if self.accompanies and own and pronoun not in _PLURAL:
            return own[-1:]  # "a plate, with a fork beside it"
        if pronoun in OWNERS and discourse.sided_by in ("", pronoun) and discourse.sided:
            return discourse.sided  # "to the left of A stands B, and to its right C"
        meant = _referent(pronoun, self._candidates(discourse), self._named_earlier(discourse), self._excluded)
        if self.mark.kind == "between" and not any(is_plural(thing.noun) for thing in meant):
            return self._two(discourse)
        return meant

    @property
    def _excluded(self) -> Phrases:
        """What the pronoun cannot stand for."""
        again = self.before.fresh or self.before.segment.breaks_off or self.accompanies
        return self.subjects if again else (*self.subjects, *self.before.earlier)

    def _candidates(self, discourse: Discourse) -> list[Phrase]:
        """The likeliest first."""
        named = self.before.named
        if self.mark.pronoun in _PERSONAL:
            here = [phrase for phrase in named if phrase not in discourse.topic]
            return [*self.recent, *here, *discourse.topic]
        return [*self.recent, *named[::-1]]

    def _named_earlier(self, discourse: Discourse) -> list[Phrase]:
        """All that was named before the subjects."""
        start = self.subjects[0].span.start if self.subjects else None
        return [one for one in (*self.said, *discourse.heads) if start is None or one.span.start < start]

    def _two(self, discourse: Discourse) -> Phrases:
        """Whom "between them" is between, where no plural tells: two that "and" ties, or that have places."""
        pair = tuple(phrase for phrase in self.before.named if phrase not in self.subjects)[-2:]
        is_clear = len(pair) == 2 and (pair[1].joints in LINKED or discourse.placed.issuperset(pair))
        return pair if is_clear else ()


def is_about_subject(last: Mark | None, mark: Mark, left: Segment) -> bool:
    """Whether a pronoun rather stands for the subject of the mark before it than for what that ended with.

    It does unless both marks are of one thing, as in "left of A …, right of it" and "behind A …, in front of it".
    """
    if last is None or not (last.pronoun or last.x or (last.depth and mark.depth)):
        return True
    of_several = mark.depth is not None and mark.pronoun in _PLURAL  # "A in front of B, C behind them": behind both
    of_one = mark.pronoun in _PERSONAL or (mark.pronoun == "its" and left.companion is not None)
    return (of_several or of_one) and not last.pronoun


def _referent(
    pronoun: str, candidates: Iterable[Phrase], said: Sequence[Phrase], excluded: Sequence[Phrase]
) -> Phrases:
    """The first candidate that agrees with a pronoun and is none of those ``excluded``.

    Persons agree with "him" and things with "it" before others do, and after them creatures; where no candidate does,
    what was ``said`` last does, and else any candidate.
    """
    spans, plural = {phrase.span for phrase in excluded}, pronoun in _PLURAL
    fitting, more = (
        [
            one
            for one in phrases
            if one.span not in spans
            and one.span.text[-_LONGEST_WORD:].lower() not in BODY
            and (plural or not is_plural(one.noun))
        ]
        for phrases in (candidates, reversed(said))
    )
    if plural:
        return tuple(([one for one in fitting if is_plural(one.noun)] or fitting)[:1])
    personal = pronoun in _PERSONAL
    agreeing, also = ([one for one in some if is_person(one.noun) == personal] for some in (fitting, more))
    alive, also_alive = ([one for one in some if is_creature(one)] for some in (fitting, more))
    return tuple((agreeing or alive or also or also_alive or fitting)[:1])


def _told_of(left: Segment) -> Phrase | None:
    """What "which" stands for after a segment: what was named last, unless that is only what something is full of."""
    named = list(left.phrases)
    while len(named) > 1 and named[-1].joints == ("of",):
        named.pop()
    held = bool(named) and named[-1].joints[-1:] == ("with",)
    full = held and (len(named[-1].joints) > 1 or is_plural(named[-1].noun))
    return left.heads[-1] if full and left.heads else left.last
