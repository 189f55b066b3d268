"""Objects by their words: which of a prompt's objects a name stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .parser import objects
from .relations.statement import Span
from .wording import shortened

#: Most letters of a name that is looked for letter by letter.
LONGEST_PHRASE = 300
#: Letters of scripts that set no words apart, or no particles: Thai, Lao, Burmese, Khmer, Kana, Han and Hangul.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
#: An article before a phrase, and brackets of emphasis; and how many letters before it are looked at.
_ARTICLE, _ARTICLE_LETTERS = re.compile(r"(?<!\w)(?:an?|the)\s+[(\[]*$", re.IGNORECASE), 20


def find_phrase(
    prompt: str, phrase: str, occurrence: int = 0, known: Sequence[Span] | None = None, written: str = ""
) -> Span:
    """Where a phrase stands in a prompt.

    Args:
        occurrence: which one of ``find_phrases``, from 0.
        known: the prompt's ``objects``, where they have been read before.
        written: see ``Scene``.

    Raises:
        ValueError: it does not stand there so often, or is too long for a name.
    """
    named = find_phrases(prompt, phrase, objects(prompt) if known is None else known)
    if not named and len(phrase) > LONGEST_PHRASE:
        raise ValueError(
            f'"{shortened(phrase, LONGEST_PHRASE)}": a name of at most {LONGEST_PHRASE} letters was expected, and has '
            f"{len(phrase)}. Name an object with a few words of the prompt."
        )
    if occurrence >= len(named):
        raise ValueError(
            f'"{" ".join(phrase.splitlines())}" was expected {_times(occurrence + 1)} in the prompt '
            f'"{shortened(written or prompt)}", and stands there {_times(len(named))}.'
            " Name an object with words of the prompt, spelled as they are there."
        )
    return named[occurrence]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def find_phrases(prompt: str, phrase: str, known: Sequence[Span]) -> list[Span]:
    """All that a phrase can stand for in a prompt, in any language, in their order: the objects with this very name,
    else the described things whose names end with it ("giraffe" for the red giraffe), else the words, else the letters,
    where it is of a script that sets no words apart.

    Args:
        known: the prompt's ``objects``. Elsewhere a name of more than ``LONGEST_PHRASE`` letters is not looked for.
    """
    wanted = phrase.strip()
    escaped = re.escape(wanted)
    # By the very letters first, as they are counted: "Dog on the left, dog on the right" names two.
    named = [span for span in known if span.text == wanted]
    named = named or [span for span in known if span.text.casefold() == wanted.casefold()]
    named = named or by_noun(prompt, wanted, known)
    if len(wanted) > LONGEST_PHRASE:
        return named
    # "hat" is not in "that".
    patterns = [rf"(?<!\w){escaped}(?!\w)", *([escaped] if UNSPACED.search(wanted) else [])]
    for pattern in patterns:
        named = named or [Span(m.group(), *m.span()) for m in re.finditer(pattern, prompt, re.IGNORECASE) if m.group()]
    return named


def by_noun(prompt: str, noun: str, known: Sequence[Span]) -> list[Span]:
    """The described things whose names end with a noun, in their order.

    Args:
        known: the prompt's ``objects``.
    """
    names, ending = described_names(prompt, known), f" {noun.casefold()}"
    return [span for span in known if span.text in names and span.text.casefold().endswith(ending)]


def described_names(prompt: str, known: Iterable[Span]) -> set[str]:
    """The names of objects that can be meant by their ends: those that stand after an English article somewhere.

    In other languages what is read as one phrase may be a whole clause.
    """
    return {span.text for span in known if _ARTICLE.search(prompt[max(0, span.start - _ARTICLE_LETTERS) : span.start])}
