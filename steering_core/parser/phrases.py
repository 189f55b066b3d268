"""Noun phrases, and the words between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..relations.statement import Span
from .kinds import qualifies
from .tagged import Word
from .tagger import BEGINS, GOES_ON, VERB
from .verbs import BEING, DUTIES, PARTICIPLES
from .words import COORDINATORS, COUNTS, CREATURES, DETERMINERS, PREPOSITIONS, PRONOUNS, RELATIVES

#: Characters of a phrase that are looked at for a creature.
_LONGEST_NAME = 80
#: What names nothing, whatever its tag.
_NAMELESS = ((PREPOSITIONS | COORDINATORS | BEING) - {"up"}) | {"instead", "rather", "null"}
#: The noun of a phrase that names what is not there.
NOTHING = "nothing"
#: How many of several: "one of the dogs".
_SOME = COUNTS | {"one", "each"}
#: Words after which what follows is not there.
_LEFT_OUT = (["none", "of"], *([all, but] for all in ("anything", "everything") for but in ("but", "except")))
_END = Word("", 0, 0)
_QUOTES, _BRACKETS = {'"', "\u201c"}, {"(", "["}


class Joint(str):
    """A word between phrases, which knows whether it is a verb there."""

    is_verb: bool

    def __new__(cls, text: str, is_verb: bool) -> Joint:
        """A word as it is read."""
        joint = super().__new__(cls, text)
        joint.is_verb = is_verb
        return joint

    @property
    def is_participle(self) -> bool:
        """Whether it says what something does or was done to: "sitting", "hung"."""
        return self.is_verb and (self.endswith(("ing", "ed")) or self in PARTICIPLES)

    @property
    def is_finite(self) -> bool:
        """Whether it is a verb of a clause."""
        return self.is_verb and not self.is_participle


class Phrase(NamedTuple):
    """A noun phrase, its last word, and the words that stand between the phrase before and it."""

    span: Span
    noun: str
    joints: tuple[Joint, ...]
    #: Whether an article or the like begins it.
    determined: bool
    #: Whether a verb stands between the head before and it, so that "and" begins a clause.
    begins_clause: bool = False

    @property
    def is_absent(self) -> bool:
        """Whether it names what is not to be there: "no cars", "none of the cars"."""
        return self.noun == NOTHING


def is_creature(phrase: Phrase) -> bool:
    """Whether a phrase names one that is alive, or a person who is an animal or the like: "robot gardener"."""
    words = phrase.span.text[-_LONGEST_NAME:].lower().split()
    return any(word in CREATURES or word.removesuffix("s") in CREATURES for word in words)


def phrases_of(prompt: str, words: Sequence[Word]) -> tuple[list[Phrase], tuple[Joint, ...]]:
    """The noun phrases among these words, and the joints after the last of them."""
    phrases, joints, nouns, determiner = list[Phrase](), list[Joint](), list[Word](), ""
    for word in (*words, _END):
        role = _role(word, inside=bool(nouns))
        apart = word.tag == BEGINS or word.text in PRONOUNS or _is_quoted(prompt, word)
        apart = apart or (bool(nouns) and nouns[0].text in PRONOUNS)
        if role == "noun" and not (nouns and apart):
            nouns.append(word)
            continue
        while nouns and nouns[-1].text in _NAMELESS:
            nouns.pop()
        if nouns:
            lettering = bool(phrases) and not (joints or determiner) and _is_lettering(prompt, nouns)
            if nouns[0].text in DUTIES and joints and joints[-1].startswith("stand"):
                joints.append(Joint(nouns[0].text, is_verb=False))  # "stands guard"
            elif not lettering:
                nouns = _unqualified(prompt, nouns)
                span = _span(prompt, nouns)
                says_no = nouns[0].text == "no" or span.text[:3].lower() == "no "
                is_absent = says_no or _is_of_none(phrases, joints)
                noun = NOTHING if is_absent else nouns[-1].text
                phrases.append(Phrase(span, noun, tuple(joints), bool(determiner)))
                joints = []
            nouns = []
        determiner = ""
        if role == "noun":
            nouns.append(word)
        elif role == "determiner":
            determiner = word.text
        elif word.text == "of" and joints[-1:] and joints[-1] in _SOME and not phrases:
            joints.pop()  # "one of the dogs"
        elif word is not _END:
            joints.append(Joint(word.text, word.tag == VERB))
    return phrases, tuple(joints)


def _role(word: Word, *, inside: bool) -> str:
    """``noun`` (part of a phrase, that has words if ``inside``), ``determiner`` or ``joint``."""
    if word.text in PRONOUNS | {NOTHING} or (word.text == "her" and word.tag not in (BEGINS, GOES_ON)):
        return "noun"
    if inside and word.text in ("one", "ones"):
        return "noun"
    if word.text in ("&", "+"):
        return "joint"
    if word.text == "\\(":
        return "joint" if inside else "determiner"
    if word.tag not in (BEGINS, GOES_ON) or word.text in RELATIVES - {"that"} | {","}:
        return "joint"
    if word.text in DETERMINERS or (not inside and word.text.isdigit()):
        return "determiner"
    return "noun"


def _is_of_none(phrases: Sequence[Phrase], joints: Sequence[Joint]) -> bool:
    """Whether the last of these phrases leaves out what follows: "none of the cats", "anything but a cat"."""
    words = [*(phrase.noun for phrase in phrases[-1:]), *joints][-2:]
    return words in _LEFT_OUT


def _is_lettering(prompt: str, words: Sequence[Word]) -> bool:
    """Whether words right after a phrase say more of it: 'a sign "HELLO"', "words GOOD LUCK", "a robot (chrome)"."""
    bracketed = prompt[words[0].start - 1 : words[0].start] in _BRACKETS
    is_capital = prompt[words[0].start : words[-1].end].isupper()
    return _is_quoted(prompt, words[0]) or is_capital or (bracketed and _says_how(words[-1].text))


def _says_how(word: str) -> bool:
    """Whether a word in brackets says how something is, or how much it weighs: "a robot (chrome)", "the moon (1.4)"."""
    return qualifies(word) or word.replace(".", "", 1).isdigit()


def _is_quoted(prompt: str, word: Word) -> bool:
    """Whether a quotation begins with a word."""
    return prompt[max(0, word.start - 1) : word.start] in _QUOTES


def _unqualified(prompt: str, words: list[Word]) -> list[Word]:
    """The words of a phrase without what stands in brackets after it to say how it is: "a robot (chrome:1.3)"."""
    first = len(words)
    while first and _says_how(words[first - 1].text):
        first -= 1
    bracketed = 0 < first < len(words) and not _BRACKETS.isdisjoint(prompt[words[first - 1].end : words[first].start])
    return words[:first] if bracketed else words


def _span(prompt: str, words: Sequence[Word]) -> Span:
    """The last words that no markup divides."""
    first = len(words) - 1
    while first and not prompt[words[first - 1].end : words[first].start].strip(" \t\r\n'’-"):
        first -= 1
    return Span.of(prompt, words[first].start, words[-1].end)
