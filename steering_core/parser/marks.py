"""The wordings that state a spatial relation, found in a sentence word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from ..relations.depth import Depth
from .tagged import Word
from .verbs import ATTENDING
from .words import BREAKS, LANDMARKS, SCENES, SIDED, WIDE_SCENES, X, Y

_DEGREES = (
    "close|directly|just|immediately|slightly|somewhat|diagonally|exactly|closely|"
    "high|low|deep|far|up|down|off|out|right|over|a bit|a little"
)
_SOFTLY = rf"(?:(?:{_DEGREES}) ){{0,3}}"
_THE = r"(?:the )?(?:(?:far|very|immediate|direct|extreme|exact) )?"
_TO_THE = rf"(?:(?:to|on|at|in|by|towards?) )?{_THE}"
_SIDE = r"(?:left|right)"
_PART = r"(?:(?: hand)?(?: side| edge| part| half| third| corner| area| quadrant| section| panel))?"
_UPRIGHT = r"(?:above|over|atop|below|underneath|under|beneath)"
_END = rf"(?:on|at|to) {_THE}(?:top|bottom){_PART}"
_SHOWS = r"(?:shows|depicts|features|contains)"
_IMAGE = (
    r" of (?:(?:the|an?|this) )?(?:image|picture|photo|photograph|frame|scene|screen|canvas|shot|composition|page|"
    r"painting|drawing|illustration|poster|artwork|print|layout|panel|flyer|card|"
    r"(?:book |album |magazine )?cover|banner|label|logo)"
    rf"(?: {_SHOWS})?"
)
_CENTER = r"(?:cent(?:er|re)|middle)"
_HIGH = r"(?:upper|lower|top|bottom)"
_BEFORE = r"(?:in ?)?front of|in front(?= (?:the|an?) )|behind(?: of)?"
#: What relates two phrases, the longer wording first; the direction words in it say which relation it is.
_WORDINGS = (
    rf"(?:{_UPRIGHT}|{_END}(?: of)?) and {_SOFTLY}{_TO_THE}{_SIDE}{_PART} of",
    rf"{_UPRIGHT} (?:to the )?{_SIDE}{_PART} of",
    rf"(?:to {_THE})?{_SIDE}{_PART}(?: of)? and {_SOFTLY}{_UPRIGHT}(?: of)?",
    rf"{_TO_THE}(?:{_HIGH} )?{_SIDE}{_PART} of",
    r"side by side with|(?:on|at|by|to) (?:the |one |either |both |each )?sides? of",
    r"in (?:the )?(?:vicinity of|proximity (?:of|to))",
    r"next to|near(?: (?:to|of))?|nearby(?: to)?|beside(?: (?:of|to))?|(?:very )?close to|adjacent to",
    r"alongside(?: of)?|flanking",
    rf"(?<!lit )(?<!hit )(?<!ed )by(?= (?:the|an?) (?:\w+ ){{0,2}}(?:{'|'.join(sorted(LANDMARKS))})(?!\S))",
    rf"(?:{'|'.join(sorted(ATTENDING))}) by(?= (?:an?|the|his|her|its|their) )",
    rf"{_END} of|{_UPRIGHT}(?: of)?|at the foot of(?! (?:the|an?|his|her) (?:\w+ )?(?:bed|page|table))",
)
#: Says of what it stands before that it is not so.
NOT = r"(?:not|never|no longer|\w+n['’]t)"
_IDIOMS = (
    rf"{NOT} {_SOFTLY}(?:{'|'.join(_WORDINGS)}|{_BEFORE}|on)",
    r"(?:from )?(?:left to right|right to left|top to bottom|bottom to top)",
    # Either is, and which is not said.
    rf"(?:to {_THE})?{_SIDE} or (?:to )?{_THE}{_SIDE}(?: side)? of|(?:{_UPRIGHT}|on) or (?:{_UPRIGHT}|on)",
    r"(?:all that is|what is|what['’]s) left of",
    r"over (?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)",
    r"from behind(?! (?:an?|the|his|her|its|their|it|him|them)(?!\S))|left behind",
    r"behind (?:bars|(?:the )?(?:scenes|times|schedule|curve|wheel))",
    r"in front of (?:the|a|his|her|their) (?:camera|viewer|crowd|audience)|(?:one|day|page|year) in front of the other",
    r"all over|over and over|over (?:there|here)|over (?:the|his|her|their|one's) shoulders?|the (?:near|above|below)",
    r"over the (?:top|years|centuries|hill|moon|counter)|(?:game|left|looking) over|under the weather|near and dear",
    r"(?:at|on) (?:the )?top of (?:his|her|its|their|the) "
    r"(?:game|class|lungs|charts?|world|league|agenda|list|food chain)",
    r"power behind the throne|mind over matter|head over heels|under fire|on cloud (?:nine|9)",
    r"(?:over|under|above|below) (?:an? |two |three |\d+ )?(?:hundred|thousand|million|dozen)s?",
    r"(?:left|right) of cent(?:er|re)|the (?:left|right|top|bottom|middle|upper|lower) ones?",
    rf"(?:in|on|across|over) {_THE}(?:{_HIGH} )?{_SIDE}(?: hand)? "
    rf"(?:edge|part|half|third|corner|quadrant)(?!{_IMAGE}) of",
    r"(?:fight|argu|quarrel|talk|gossip|pore|watch|look|gaz)(?:s|es|ed|ing)? over|"
    rf"(?:(?:on|at|to|in|over|across) )?(?:the )?{_SIDE}(?: hand)? (?:side|half|part) of (?:the|an?|his|her|its|their) "
    rf"(?:\w+['’]s )?(?:{'|'.join(sorted(SIDED))})(?!\S)|"
    r"(?:under|below|beneath|behind) (?:his|her|their|its) (?:arms?|backs?|legs?|chin|feet|ears?)|"
    r"over (?:his|her|their|its) (?:\w+ )?(?:eyes?|ears?|face|mouth|arms?|knees)|"
    r"(?:at|on) the bottom of (?:the|an?) (?:\w+ )?"
    r"(?:ocean|sea|lake|river|pool|pond|well|aquarium|tank|glass|cup|bowl|box)",
    r"(?:below|above|under) (?:zero|freezing|average)|under lock and key|beside the point|on the (?:eve|heels) of",
    r"from (?:above|below)|views? over|above all|near miss|below the poverty line",
    r"(?:looking|facing|turned|turning|pointing|winding|stretching|leading|curving|leaning|tilted|extending|heading|"
    rf"moving|flowing|blowing|walking|flying|gazing|glancing|running)(?: to| towards?)?(?: the| his| her| its)? "
    rf"{_SIDE}(?! (?:side )?of)",
)
_CENTERED = (
    rf"(?:(?:{_HIGH} )?(?:{_SIDE}|{_CENTER})|{_SIDE} {_HIGH}|top|bottom|(?:upper|lower)(?= (?:half|third))){_PART}"
)
#: Places as headings name them, before a colon.
PLACES = _CENTERED.replace(" ", r"[\ -]")
#: In the middle of what the whole picture shows; anything else may stand anywhere in it, and its middle with it.
_AMID = rf"(?:in|at) the (?:very )?{_CENTER} of the (?:{'|'.join(sorted(SCENES))})"
_ASIDE_IN = (
    rf"(?:in|at|on|to) {_THE}{_SIDE}(?: hand)?(?: side| part| half| end)? of the "
    rf"(?:{'|'.join(sorted(WIDE_SCENES))})(?!\S)"
)
#: A place in the image stands alone: "in the left hand" and "on top form" are none. Nor is "her" in "her cat".
_AFTER_VERB = r"(?:an?|the|his|her|its|over|on|in|at|into|with|to|and|up|down|back|out)"
_ALONE = rf"(?=$| (?:{'|'.join(map(re.escape, sorted(BREAKS)))}|\w+ing|\w+s {_AFTER_VERB})(?!\S))"
_PRONOUN = rf" (?P<{{}}>it|him|them|which|whom|her{_ALONE})"
_SIDED = (
    rf"(?:(?:to|on|at) (?P<owner>its|his|her|their|whose) (?:far |immediate )?{_SIDE}{_PART}"
    rf"|(?:at|by) (?P<attended>its|his|her|their) side){_ALONE}"
)
_FILLS = r"fill(?:s|ing)?|occup(?:y|ies|ying)|dominat(?:e|es|ing)"
_LAYER = rf"(?:in|{_FILLS}) (?:the )?(?:\w+ )?(?:foreground|background){_ALONE}"
#: Beside others, rather than in the picture.
_ASIDE = rf"(?:to {_THE}{_CENTERED}|on top){_ALONE}(?! of)"
#: Of two without the other's name: "the moon above, the sea below".
_UPON = rf"(?:above|below|beneath|underneath)(?=$| (?:,|and)(?!\S))(?! and (?:{_SOFTLY}{_TO_THE}{_SIDE}|{_UPRIGHT}))"
_PLACE = rf"(?:(?:on|at|in|along|across|{_FILLS}) {_THE}{_CENTERED}|dead {_CENTER}){_ALONE}(?! of)"
#: Of the picture without a preposition: "bottom right corner", "top left a robin", "a skull centered".
_CORNER = (
    rf"(?<!from )(?<!from the )(?:{_HIGH} {_SIDE}|{_SIDE} {_HIGH})(?: hand)?(?: corner)?(?=$| (?:,|and|an?|the)(?!\S))"
    rf"|(?<=\w )(?<!the )(?:{_SIDE}|{_HIGH}) (?:half|third)(?=$| (?:,|and)(?!\S))"
    rf"|(?:{_SIDE}|{_CENTER}|{_HIGH}) (?:panel|half|side|third|part)(?= (?:an?|the)(?!\S))"
)
_CENTERED_THERE = (
    r"(?<=\w )cent(?:ered|red)(?=$| (?:,|and)(?!\S))|cent(?:ered|red) in the (?:frame|image|picture|composition)"
)
_SHOWN = rf"(?:the )?(?:{_SIDE}|{_HIGH}) (?:half|part|side|third|panel) {_SHOWS}"
_BARE = rf"(?<=\w )(?:far )?{_SIDE}(?: side)?(?=$| (?:,|and)(?!\S))"
_EACH_OTHER = r"(?:next to|beside|near|close to) (?:each other|one another)|side by side(?! with)"
_MARK = re.compile(
    rf"(?<!\S)(?:(?P<idiom>{_SOFTLY}(?:{'|'.join(_IDIOMS)}))"
    rf"|(?P<framed>{_SOFTLY}(?:to {_THE})?{_SIDE} of (?:the )?(?:frame|image)"
    rf"|(?:(?:on|at|in|across|along) )?{_THE}{_CENTERED}{_IMAGE}|{_AMID}|{_ASIDE_IN})"
    rf"|(?P<each_other>{_EACH_OTHER})|(?P<upon>(?<=\w ){_UPON})"
    rf"|{_SOFTLY}(?:(?P<sided>{_SIDED})|(?P<relation>{'|'.join(_WORDINGS)})(?:{_PRONOUN.format('pronoun')})?"
    rf"|(?P<between>(?:in )?between|flanked (?:on (?:both|either) sides? )?by)(?: (?P<both>them|which|whom))?"
    rf"|(?P<depth>{_BEFORE})(?:{_PRONOUN.format('other')})?)"
    rf"|{_SOFTLY}(?:(?P<layer>{_LAYER})|(?P<aside>{_ASIDE})|(?P<place>{_PLACE}|{_CORNER}|{_CENTERED_THERE}|{_SHOWN}))"
    rf"|(?P<bare>{_BARE})|(?P<on>(?:up)?on)(?: (?P<borne>it|him|them|which))?)(?!\S)"
)
_KINDS = (
    *("idiom", "framed", "each_other", "upon", "sided", "relation", "between"),
    *("depth", "layer", "aside", "place", "bare", "on"),
)
#: Groups of a mark that may be the word for its object.
_PRONOUNS = ("owner", "attended", "pronoun", "other", "both", "borne")
_DEPTHS = {
    "front": Depth.IN_FRONT_OF,
    "infront": Depth.IN_FRONT_OF,
    "behind": Depth.BEHIND,
    "foreground": Depth.IN_FOREGROUND,
    "background": Depth.IN_BACKGROUND,
}
#: Which corner of a side: "up in the left corner".
_RAISED = {"up": -1, "high": -1, "down": 1, "low": 1}


class Mark(NamedTuple):
    """Words of a sentence that state something of places.

    Attributes:
        kind: ``relation``, ``between`` or ``on``, which relate two phrases; ``each_other``, which relates its subjects;
            ``place``, where one is in the picture;
            ``aside``, where it is beside others ("to the left", "on top"), and ``bare`` without a preposition
            ("A left, B right"); ``upon``, whether it is the upper or the lower one ("A above, B below"); ``depth``,
            which of two is nearer, and ``layer``, how near one is.
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
        return self.kind in ("place", "aside", "bare", "upon", "layer")


def read_marks(words: Sequence[Word]) -> Iterator[Mark]:
    """What may relate two phrases, in reading order."""
    starts = {at: index for index, at in enumerate(accumulate((len(word.text) + 1 for word in words), initial=0))}
    for match in _MARK.finditer(" ".join(word.text for word in words)):
        stated = (match["relation"] or match.group()).split()
        x, y = (next((axis[word] for word in stated if word in axis), None) for axis in (X, Y))
        if y is None and "corner" in stated:
            y = next((_RAISED[word] for word in stated if word in _RAISED), None)
        kind = next(kind for kind in _KINDS if match[kind])
        pronoun = next(filter(None, map(match.group, _PRONOUNS)), "")
        depth = _DEPTHS[next(word for word in stated if word in _DEPTHS)] if kind in ("depth", "layer") else None
        if kind != "idiom":
            kind, y = {"framed": "place", "sided": "relation"}.get(kind, kind), -1 if kind == "on" else y
            yield Mark(kind, x, y, starts[match.start()], starts[match.end() + 1], pronoun, depth)
