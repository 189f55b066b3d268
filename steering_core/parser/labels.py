"""The labels of structured prompts, such as "Left side:", "Position:" or "bg =", and the words that they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .marks import PLACES
from .tagged import Word
from .verbs import COPULAS
from .words import DETERMINERS, FRAMES, HEADINGS, LINKS, POSITIONS, PREPOSITIONS, X, Y

_LAYERS = {"fg": "foreground", "bg": "background"}
#: A label with one of these is a statement: "On the piano:" says where something is.
_TELLING = {"next", "front", "close", "adjacent", *DETERMINERS, *COPULAS, *PREPOSITIONS, *LINKS, *X, *Y}
#: Labels that name nothing of which a place could follow.
_NAMELESS = {"size", "angle", "view", *HEADINGS, *FRAMES}
#: How what follows on a label begins where it says a place.
_BESIDE = r"on|under|underneath|beneath|below|above|over|atop|behind|beside|near|next\ to|in\ front\ of|between|to\ the"
_SIDES = r"top|bottom|upper|lower|left|right|center|centre|middle"
_BEGINNINGS = rf"{_BESIDE}|at\ the|(?:{_SIDES})(?=\ (?:left|right|center|centre)|\ *(?:[.;,|\n]|$))"
_PLACE_BEGINS = re.compile(rf"\s*(?:{_SIDES})\b", re.IGNORECASE)
_PLACE = rf"(?:{PLACES}|foreground|background)"
_COLON = r"(?:\**:\**|\ =)"


def _any(words: set[str] | frozenset[str]) -> str:
    return "|".join(map(re.escape, sorted(words)))


#: What a pattern of tokens has for labels; each group is one of them.
PATTERN = rf"""
    (?P<telling>(?:\n|(?<=[|;])[^\S\n])[^\S\n]*
        (?=\**(?:[a-z']+\ ){{0,2}}(?:{_any(_TELLING)})\b(?:\ [a-z']+){{0,3}}\**:\**\s))
    | (?P<around>(?:above|below|beneath|behind|in\ front)\**:(?=\s))
    | (?P<position>(?:[.;|\n][^\S\n]{{0,8}}\*{{0,2}})?\b(?:{_any(POSITIONS)})\b(?:\ [a-z]+){{0,2}}{_COLON}(?=\s))
    | (?P<placed>(?:(?:^|(?<=\n))|(?<=[.;|]\ ))\**(?!(?:[a-z]+\ ){{0,2}}(?:{_any(_TELLING | _NAMELESS)})\b)
        [a-z]+(?:\ [a-z]+){{0,2}}{_COLON}(?=\ (?:{_BEGINNINGS})\b))
    | (?P<side>(?:^|(?<=[\n.;,|{{]))[^\S\n]*(?:{_PLACE}|fg|bg)[^\S\n]*(?:=|[-:](?=\s))
        | (?<![^\s,.;|"(\[*])(?<!to\ )(?:the\ )?{_PLACE}(?="?:\**\s)"?:
        | \[{_PLACE}\](?!\())
    | (?P<heading>(?:^|(?<=[\n/])[^\S\n]*|(?<=[.;]\ ))(?!(?:[a-z]+\ ){{0,2}}(?:{_any(_TELLING)})\b)
        [a-z]+(?:[\ /][a-z]+){{0,2}}:(?=\s) | \[(?:{_any(HEADINGS | POSITIONS)})\] | \b(?:{_any(HEADINGS)}):(?=\s))
"""


def words_of_label(prompt: str, match: re.Match[str]) -> Iterator[Word]:
    """What a label says; of a heading no more than a pause."""
    start, end = match.span()
    said = [
        Word(_LAYERS.get(text, text), start + word.start(), start + word.end())
        for word in re.finditer(r"\w+", match.group())
        for text in [word.group().lower()]
    ]
    if match.lastgroup == "side":  # "Left side: a dog", ", in left side, a dog"
        yield from (Word(",", start, start), Word("in", start, start), *said, Word(",", end - 1, end))
    elif match.lastgroup == "around":  # "Behind: a window", "behind it, a window"
        of = [Word("of", end - 1, end - 1)] if said[-1].text == "front" else []
        yield from (*said, *of, Word("it", end - 1, end - 1), Word(",", end - 1, end))
    else:
        yield Word(",", start, end if match.lastgroup == "heading" else start)
        if match.lastgroup == "placed":  # "Barcode: bottom right", "barcode in bottom right"
            yield from said
        if match.lastgroup in ("placed", "position") and _PLACE_BEGINS.match(prompt, end):
            yield Word("in", end, end)
