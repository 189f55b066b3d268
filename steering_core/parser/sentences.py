"""A prompt's sentences, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .labels import PATTERN as LABELS
from .labels import words_of_label
from .tagged import Word
from .tagger import tags_of
from .verbs import COPULAS
from .words import DETERMINERS, HEADINGS, PREPOSITIONS, X, Y

#: A word's letters; accents can stand apart from theirs, as in decomposed Unicode.
_LETTERS = r"(?:\w[\u0300-\u036f]*)+"
#: LoRAs, embeddings and wildcards: none is of what the picture shows.
TAGS = r"<[^<>]*>|embedding:\S+|__\w+?__"
_LINE_ALONE = rf"(?:\*\*[^*\n]*\*\*:?|(?:{'|'.join(sorted(HEADINGS))}))"
_TOKEN = re.compile(
    rf"""(?P<weight>:\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)\s*(?=[)\]}}]))
    | (?P<item>(?:^|\n)[^\S\n]*(?:[*•·-]|\d{{1,2}}[.)])(?=[^\S\n]) | (?<=\s)\(?\d{{1,2}}\)(?=\s)
        | (?:^|(?<=\s))\(?[a-z]\)(?=\s))
    | {LABELS}
    | (?P<end>[.!?;\u3002\uff01\uff1f\uff1b]|\n[^\S\n]*\n|\b(?-i:BREAK)\b(?!-))
    | (?P<line>\n(?![^\S\n]*of\b))
    | (?P<pause>(?:^|(?<=\n))\#+\ [^\n]*(?=\n) | (?:^|(?<=\n))[^\S\n]*{_LINE_ALONE}[^\S\n]*(?=\n)
        | [,:|\uff0c\u3001–—] | [-/](?=\s) | \[\s?\] | {TAGS})
    | (?P<word>\bw/(?=\ )|\b(?:st|mr|mrs|ms|dr)\.(?=\ \w)|\d+(?:[.,]\d+)*\w*|{_LETTERS}(?:['’-]{_LETTERS})*|&|\\\()""",
    re.VERBOSE | re.IGNORECASE,
)
_ENDS = ("end", "item", "telling")
_PAUSES = ("pause", "line")
#: How two are side by side, which names nothing.
_ABREAST = re.compile(r"\b(back|face|shoulder|hand|arm|nose|eye|cheek) (?:by|to|in) \1\b(?! with)", re.IGNORECASE)
#: What is written on something states nothing of the picture.
_LETTERING = re.compile(
    r"(?:\b(?:says|saying|reads?|reading|titled|called|named|labell?ed|words?|text|title|caption|headline|heading|slogan"
    r"|sign|logo|masthead|lettering|name):?\s{1,3}"
    r"|\b(?:written|painted with|engraved|inscribed|advertising|message|phrase|quote|banner|poster|billboard|book|film"
    r"|movie|album|song|shirt|graffiti|bubble|note|plaque|tombstone|newspaper|cover|with(?: the)?):?\s"
    r"|\b(?:text|title|headline|slogan|lettering)[\"']:\s{0,3})"
    r"([\"\u201c][^\"\u201c\u201d\n]{0,200}[\"\u201d])",
    re.IGNORECASE,
)
_DOING = r"(?:add|draw|give|have|include|keep|leave|let|make|place|put|show|use)"
#: What begins another clause, or could.
_NEXT_CLAUSE = rf"[^\w\s'’-]|\n|\s[-]\s|\b(?:BREAK|but|instead)\b|\band {_DOING}\b"
_FREE = r"(?:a|ample|bit|blank|clear|copy|empty|enough|extra|free|little|lots|more|negative|of|plenty|some|white)"
#: What is not to be drawn, or where nothing is to be, up to the next clause.
_UNWANTED = re.compile(
    r"(?:^|[.;,:!?\n(]|\b(?:and|but|please))[^\S\n]*\b("
    rf"(?:(?:avoid|exclude|omit)\b(?!-)|never (?={_DOING}\b|an?\b|any\b|the\b)|(?:do not|don['’]t) (?={_DOING}\b))"
    rf"(?:(?!{_NEXT_CLAUSE}).)*"
    rf"|leav(?:e|ing) (?:{_FREE} )*(?:space|room)\b(?:(?!{_NEXT_CLAUSE}|\b(?:and|with)\b).)*)",
    re.IGNORECASE,
)
_OPENING = r"(?:^|[.;,:!?\n({|/#\"*])[^\S\n]*"
_NEGATIVE_PROMPT = r"[\"*]{0,4}negative(?:[ _]?prompts?)?"
#: The same under a heading: to the string's end in JSON, else to "positive" or an empty line; of a short heading to the
#: end of its sentence; and by Midjourney's switch, to the next one.
_HEADED_UNWANTED = re.compile(
    rf"{_OPENING}(?:{_NEGATIVE_PROMPT}|\"(?:avoid|exclude))\"\s{{0,3}}:\s{{0,3}}(?P<json>\"[^\"]*\")"
    rf"|{_OPENING}{_NEGATIVE_PROMPT}\*{{0,4}}\s?[:=](?P<rest>(?:(?!\bpositive\b|\n[^\S\n]*\n)[\s\S])*)"
    rf"|{_OPENING}(?:avoid|exclude|do not include|don['\u2019]t include|no|without)\s?:(?P<line>[^.\n]*)"
    r"|(?<!\S)--no\s(?P<switch>(?:(?!\s--\w)[^\n])*)",
    re.IGNORECASE,
)
#: Of "{a|b}" all but the last: one of them will stand there, and only one is read.
_ALTERNATIVES = re.compile(r"(?<=\{)(?:[^{}|]*\|)+(?=[^{}|]*\})")
_CONTRACTED = re.compile("(there|here|who|that|it|he|she)['’]s", re.IGNORECASE)
#: Words that a line may break after without a pause.
_HANGING = {"and", "next", "close", "adjacent", "beside", *DETERMINERS, *COPULAS, *PREPOSITIONS, *X, *Y}
#: Parts of compounds that are read as words of their own, as in "above-left" and "left-hand side".
_COMPOUNDED = {"hand", "side", *X, *Y}


def sentences(prompt: str) -> Iterator[list[Word]]:
    """The words of each sentence with their tags, and a comma where it pauses."""
    for words in split_into_sentences(prompt):
        yield [word._replace(tag=tag) for word, tag in zip(words, tags_of(written(prompt, words)))]


def written(prompt: str, words: Sequence[Word]) -> list[str]:
    """Words as the prompt has them, and as they are read where it has none, or a pause."""
    return [word.text if word.text == "," else prompt[word.start : word.end] or word.text for word in words]


def last_alternatives(prompt: str) -> str:
    """A prompt of the same length, in which blanks stand for all but the last alternative of each "{a|b}"."""
    return _ALTERNATIVES.sub(_blank, prompt)


def unwanted(prompt: str) -> Iterator[tuple[int, int]]:
    """From where to where a prompt says what is not to be drawn: "avoid text at the bottom"."""
    yield from (match.span(1) for match in _UNWANTED.finditer(prompt))
    yield from (match.span(match.lastgroup) for match in _HEADED_UNWANTED.finditer(prompt) if match.lastgroup)


def lettering(prompt: str) -> Iterator[tuple[int, int]]:
    """From where to where a prompt quotes what is written in the picture."""
    yield from (match.span(1) for match in _LETTERING.finditer(prompt))


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())


def split_into_sentences(prompt: str) -> Iterator[list[Word]]:
    """``sentences``, without tags."""
    words: list[Word] = []
    prompt = _ABREAST.sub(_blank, last_alternatives(prompt))
    for start, end in (*unwanted(prompt), *lettering(prompt)):
        prompt = prompt[:start] + " " * (end - start) + prompt[end:]
    for match in _TOKEN.finditer(prompt):
        kind = match.lastgroup
        if kind in _ENDS:
            yield words
            words = []
        elif kind == "word":
            words += _split(match.group(), match.start())
        elif kind in _PAUSES:
            if kind == "pause" or (words and words[-1].text not in _HANGING):
                words.append(Word(",", match.start(), match.end()))
        elif kind != "weight":
            words += words_of_label(prompt, match)
    yield words


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
