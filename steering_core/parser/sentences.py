"""A prompt's sentences, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .marks import PLACES, Word
from .verbs import COPULAS
from .words import DETERMINERS, HEADINGS, PREPOSITIONS, X, Y

_BEFORE_COLON = rf"(?:{PLACES}|foreground|background)"
_LINE_ALONE = r"(?:\#+\ [^\n]*|\*\*[^*\n]*\*\*:?|(?:HEADINGS))"
_TOKEN = re.compile(
    r"""(?P<weight>:\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)\s*(?=[)\]}]))
    | (?P<end>[.!?;\u3002\uff01\uff1f\uff1b]|\n[^\S\n]*\n|\b(?-i:BREAK)\b(?!-))
    | (?P<line>\n(?![^\S\n]*of\b))
    | (?P<heading>(?<![^\s,.;|"(\[*])(?:the\ )?PLACES(?="?:\**\s)"?:|\[PLACES\](?!\())
    | (?P<pause>(?:^|(?<=\n))[^\S\n]*LINE[^\S\n]*(?=\n)
        | [,:|\uff0c\u3001–—]|-(?=\s)|<[^<>]*>|embedding:\S+|\b(?:HEADINGS):(?=\s)|__\w+?__)
    | (?P<word>\bw/(?=\ )|\b(?:st|mr|mrs|ms|dr)\.(?=\ \w)|\d+(?:[.,]\d+)*\w*|\w+(?:['’-]\w+)*|&|\\\()""".replace(
        "LINE", _LINE_ALONE
    )
    .replace("HEADINGS", "|".join(sorted(HEADINGS)))
    .replace("PLACES", _BEFORE_COLON),
    re.VERBOSE | re.IGNORECASE,
)
#: How two are side by side, which names nothing.
_ABREAST = re.compile(r"\b(side|back|face|shoulder|hand|arm|nose|eye|cheek) (?:by|to|in) \1\b(?! with)", re.IGNORECASE)
_CONTRACTED = re.compile("(there|here|who|that|it|he|she)['’]s", re.IGNORECASE)
#: Words that a line may break after without a pause.
_HANGING = {"and", "next", "close", "adjacent", "beside", *DETERMINERS, *COPULAS, *PREPOSITIONS, *X, *Y}
#: Parts of compounds that are read as words of their own, as in "above-left" and "left-hand side".
_COMPOUNDED = {"hand", "side", *X, *Y}


def sentences(prompt: str) -> Iterator[list[Word]]:
    """The words of each sentence, and a comma where it pauses."""
    words: list[Word] = []
    prompt = _ABREAST.sub(lambda match: " " * len(match.group()), prompt)
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
    if word.lower() == "w/":
        yield Word("with", start, start + len(word))
        return
    if contracted := _CONTRACTED.fullmatch(word):
        yield Word(contracted[1].lower(), start, start + contracted.end(1))
        yield Word("is", start + contracted.end(1), start + len(word))
        return
    parts = word.split("-")
    for part in parts if _COMPOUNDED.issuperset(word.lower().split("-")) else [word]:
        yield Word(part.lower(), start, start + len(part))
        start += len(part) + 1
