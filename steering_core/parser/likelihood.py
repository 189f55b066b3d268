"""How likely a prompt states something, by the network that has read prompts."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..relations.place import Place
from .network import KINDS, KINDS_OF_ONE, KINDS_OF_TWO, Kind, PromptReader, load_reader, together
from .sentences import TAGS, last_alternatives

#: Letters and digits, also of "sci-fi" and "cat's": "hat_on_table" is three words.
_WORD = re.compile(rf"{TAGS}|(?P<word>[^\W_]+(?:['’-][^\W_]+)*)", re.IGNORECASE)
#: Characters that are looked at.
_LONGEST = 8_000
#: Halves of characters, which no tokenizer takes.
_SURROGATES = re.compile("[\ud800-\udfff]")
#: The share of an object that counts as sure, since several may share it.
_SURE_SHARE = 0.6

Words = Sequence[int]


class Guess(NamedTuple):
    """A statement that the network finds in a prompt: of which words by number, and how likely."""

    kind: Kind
    subject: int
    object: int | None
    likelihood: float


class Likelihoods:
    """What a prompt states of its words, by their numbers.

    Attributes:
        words: their ranges in the prompt; those that lie beyond what the network reads are left out.

    Args:
        stated: (kinds, W), how likely it is that something is stated of each word.
        objects: (kinds of two, W, W), the share of each word in the objects of a subject.
    """

    def __init__(self, words: Sequence[tuple[int, int]], stated: Tensor, objects: Tensor):
        self.words = words
        self._stated, self._objects = stated, objects

    def word_at(self, end: int) -> int | None:
        """The word that a phrase with this end ends with."""
        number = bisect_left(self.words, end, key=lambda word: word[1])
        return number if number < len(self.words) and self.words[number][0] < end else None

    def best(self, kind: Kind, subjects: Words, objects: Words = ()) -> Guess:
        """The likeliest of what is stated of one of some words, and of one of others where it is of two.

        What relates two says the same of both the other way round.
        """
        if kind in KINDS_OF_ONE:
            stated = self._stated[KINDS.index(kind), list(subjects)]
            return Guess(kind, subjects[int(stated.argmax())], None, float(stated.max()))
        assert not isinstance(kind, Place)
        one = self._one_way(kind, subjects, objects)
        object, subject, likelihood = self._one_way(kind.inverse, objects, subjects)
        return Guess(kind, *max(one, (subject, object, likelihood), key=lambda way: way[2]))

    def _one_way(self, kind: Kind, subjects: Words, objects: Words) -> tuple[int, int, float]:
        """The likeliest subject and its object, and how likely."""
        shares = self._objects[KINDS_OF_TWO.index(kind), list(subjects)]
        of_objects = shares[:, list(objects)].sum(-1) / shares.amax(-1).clamp_min(_SURE_SHARE)
        stated = self._stated[KINDS.index(kind), list(subjects)] * of_objects.clamp_max(1)
        subject = int(stated.argmax())
        object = objects[int(shares[subject, list(objects)].argmax())]
        return subjects[subject], object, float(stated[subject])

    def likeliest(self, least: float) -> Iterator[Guess]:
        """All that is at least so likely."""
        for number, subject in (self._stated >= least).nonzero().tolist():
            kind, likelihood = KINDS[number], float(self._stated[number, subject])
            if kind in KINDS_OF_ONE:
                yield Guess(kind, subject, None, likelihood)
                continue
            shares = self._objects[KINDS_OF_TWO.index(kind), subject]
            object = int(shares.argmax())
            likelihood *= min(1.0, float(shares[object]) / _SURE_SHARE)
            if likelihood >= least and object != subject:
                yield Guess(kind, subject, object, likelihood)


@lru_cache(maxsize=4)  # a long prompt's are 1 MB
@torch.inference_mode()
def likelihoods(prompt: str) -> Likelihoods | None:
    """Of what a prompt states; none where it has no word."""
    looked_at, reader = last_alternatives(_SURROGATES.sub(" ", prompt[:_LONGEST])), _shipped()
    pieces = reader.in_pieces(looked_at, words_of(looked_at))
    if not pieces.words:
        return None
    with torch.device("cpu"):
        stated, objects = reader.network(together([pieces]))
    return Likelihoods(pieces.words, stated[0].sigmoid(), objects[0].softmax(-1))


def words_of(prompt: str) -> list[tuple[int, int]]:
    """The ranges of a prompt's words; those of LoRAs, embeddings and wildcards are none."""
    return [match.span() for match in _WORD.finditer(prompt) if match["word"]]


@cache
def _shipped() -> PromptReader:
    return load_reader()
