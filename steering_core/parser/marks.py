"""The wordings that state a spatial relation, found in a sentence word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from ..relations import Depth
from .words import ATTENDING, BREAKS, SCENES, X, Y

_DEGREES = (
    "directly|just|immediately|slightly|somewhat|diagonally|exactly|closely|"
    "high|low|deep|far|up|down|off|out|right|over|a bit|a little"
)
_SOFTLY = rf"(?:(?:{_DEGREES}) ){{0,3}}"
_THE = r"(?:the )?(?:(?:far|very|immediate|direct|extreme) )?"
_TO_THE = rf"(?:(?:to|on|at|in|by|towards?) )?{_THE}"
_SIDE = r"(?:left|right)"
_PART = r"(?: hand side| side| edge| part| half| third| corner)?"
_UPRIGHT = r"(?:above|over|atop|below|underneath|under|beneath)"
_END = rf"(?:on|at|to) {_THE}(?:top|bottom){_PART}"
_IMAGE = r" of (?:the|an?|this) (?:image|picture|photo|photograph|frame|scene|screen|canvas|shot|composition|page)"
_CENTER = r"(?:cent(?:er|re)|middle)"
_BEFORE = r"in front of|behind"
#: What relates two phrases, the longer wording first; the direction words in it say which relation it is.
_WORDINGS = (
    rf"(?:{_UPRIGHT}|{_END}(?: of)?) and {_SOFTLY}{_TO_THE}{_SIDE}{_PART} of",
    rf"{_UPRIGHT} (?:to the )?{_SIDE}{_PART} of",
    rf"(?:to {_THE})?{_SIDE}{_PART}(?: of)? and {_SOFTLY}{_UPRIGHT}(?: of)?",
    rf"{_TO_THE}(?:(?:upper|lower|top|bottom) )?{_SIDE}{_PART} of",
    r"side by side with|(?:on|at|by|to) (?:the |one )?side of|in (?:the )?(?:vicinity of|proximity (?:of|to))",
    r"next to|near(?: to)?|nearby(?: to)?|beside|(?:very )?close to|adjacent to|alongside(?: of)?",
    rf"(?:{'|'.join(sorted(ATTENDING))}) by(?= (?:an?|the|his|her|its|their) )",
    rf"{_END} of|{_UPRIGHT}(?: of)?",
)
_NOT = r"(?:not|never|no longer|\w+n['’]t)"
_IDIOMS = (
    rf"{_NOT} {_SOFTLY}(?:{'|'.join(_WORDINGS)}|{_BEFORE}|on)",
    r"(?:from|left) behind|behind (?:bars|(?:the )?(?:scenes|times|schedule|curve|wheel))",
    r"in front of (?:the|a|his|her|their) (?:camera|viewer|crowd|audience)|(?:one|day|page|year) in front of the other",
    r"all over|over and over|over (?:there|here)|over (?:the|his|her|their|one's) shoulders?|the (?:near|above|below)",
    r"over the (?:top|years|centuries|hill|moon|counter)|(?:game|left|looking) over|under the weather|near and dear",
    r"from (?:above|below)|views? over|above all|near miss|below the poverty line",
    rf"(?:looking|facing|turned|turning|pointing)(?: to| towards?)?(?: the| his| her| its)? {_SIDE}(?! (?:side )?of)",
)
_CENTERED = (
    rf"(?:(?:(?:upper|lower|top|bottom) )?(?:{_SIDE}|{_CENTER})|top|bottom|(?:upper|lower)(?= (?:half|third))){_PART}"
)
#: Places as headings name them, before a colon.
PLACES = _CENTERED.replace(" ", r"[\ -]")
#: In the middle of what the whole picture shows; anything else may stand anywhere in it, and its middle with it.
_AMID = rf"(?:in|at) the (?:very )?{_CENTER} of the (?:{'|'.join(sorted(SCENES))})"
#: A place in the image stands alone: "in the left hand" and "on top form" are none. Nor is "her" in "her cat".
_ALONE = rf"(?=$| (?:{'|'.join(map(re.escape, sorted(BREAKS)))}|\w+ing)(?!\S))"
_PRONOUN = rf" (?P<{{}}>it|him|them|which|whom|her{_ALONE})"
_SIDED = rf"(?:to|on|at) (?P<owner>its|his|her|their|whose) (?:far |immediate )?{_SIDE}{_PART}{_ALONE}"
_LAYER = rf"in (?:the )?(?:\w+ )?(?:foreground|background){_ALONE}"
#: Beside others, rather than in the picture.
_ASIDE = rf"(?:to {_THE}{_CENTERED}|on top){_ALONE}(?! of)"
_PLACE = rf"(?:on|at|in) {_THE}{_CENTERED}{_ALONE}(?! of)"
_BARE = rf"(?<=\w ){_SIDE}(?=$| (?:,|and)(?!\S))"
_MARK = re.compile(
    rf"(?<!\S)(?:(?P<idiom>{'|'.join(_IDIOMS)})|(?P<framed>(?:on|at|in) {_THE}{_CENTERED}{_IMAGE}|{_AMID})"
    rf"|{_SOFTLY}(?:(?P<sided>{_SIDED})|(?P<relation>{'|'.join(_WORDINGS)})(?:{_PRONOUN.format('pronoun')})?"
    rf"|(?P<between>(?:in )?between|flanked (?:on (?:both|either) sides? )?by)"
    rf"|(?P<depth>{_BEFORE})(?:{_PRONOUN.format('other')})?)"
    rf"|{_SOFTLY}(?:(?P<layer>{_LAYER})|(?P<aside>{_ASIDE})|(?P<place>{_PLACE}))"
    rf"|(?P<bare>{_BARE})|(?P<on>(?:up)?on)(?: (?P<borne>it|him|them|which))?)(?!\S)"
)
_KINDS = ("idiom", "framed", "sided", "relation", "between", "depth", "layer", "aside", "place", "bare", "on")
_DEPTHS = {
    "front": Depth.IN_FRONT_OF,
    "behind": Depth.BEHIND,
    "foreground": Depth.IN_FOREGROUND,
    "background": Depth.IN_BACKGROUND,
}


class Word(NamedTuple):
    """A word in lower case, or a comma for any pause, and its range in the prompt."""

    text: str
    start: int
    end: int


class Mark(NamedTuple):
    """Words of a sentence that state something of places.

    Attributes:
        kind: ``relation``, ``between`` or ``on``, which relate two phrases; ``place``, where one is in the picture;
            ``aside``, where it is beside others ("to the left", "on top"), and ``bare`` without a preposition
            ("A left, B right"); ``depth``, which of two is nearer, and ``layer``, how near one is.
        x, y: the direction; an axis left open is None.
        pronoun: the word for the object, if the mark has it: "above it", "to its left".
        depth: of a ``depth`` or a ``layer``.
    """

    kind: str
    x: int | None
    y: int | None
    start: int
    end: int
    pronoun: str = ""
    depth: Depth | None = None

    @property
    def is_of_one(self) -> bool:
        """Whether it says something of one phrase, and relates it to none that follows."""
        return self.kind in ("place", "aside", "bare", "layer")


def read_marks(words: Sequence[Word]) -> Iterator[Mark]:
    """What may relate two phrases, in reading order."""
    starts = {at: index for index, at in enumerate(accumulate((len(word.text) + 1 for word in words), initial=0))}
    for match in _MARK.finditer(" ".join(word.text for word in words)):
        stated = (match["relation"] or match.group()).split()
        x, y = (next((axis[word] for word in stated if word in axis), None) for axis in (X, Y))
        kind = next(kind for kind in _KINDS if match[kind])
        pronoun = next(filter(None, (match[name] for name in ("owner", "pronoun", "other", "borne"))), "")
        depth = _DEPTHS[next(word for word in stated if word in _DEPTHS)] if kind in ("depth", "layer") else None
        if kind != "idiom":
            kind, y = {"framed": "place", "sided": "relation"}.get(kind, kind), -1 if kind == "on" else y
            yield Mark(kind, x, y, starts[match.start()], starts[match.end() + 1], pronoun, depth)
