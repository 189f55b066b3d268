"""From the phrases of a scene to the positions of their tokens in the conditioning sequence."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .relations import Relation, Scene, Span


class PhraseNotFoundError(ValueError):
    """A phrase of the prompt has no tokens in the conditioning."""


@dataclass(frozen=True)
class Token:
    """One token of the conditioning sequence.

    Attributes:
        index: its position in the sequence the model attends to, chunks joined.
        text: the text that it stands for; empty for start, end and padding.
        span: its half-open character range in the prompt, where the tokenizer gives it.
    """

    index: int
    text: str
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class GroundedRelation:
    """A relation between two objects of a ``GroundedScene``, by their positions there."""

    subject: int
    relation: Relation
    object: int


@dataclass(frozen=True)
class GroundedScene:
    """A scene whose objects are tied to tokens of the conditioning.

    Attributes:
        scene: the prompt and its relations.
        sequence: all tokens of the conditioning, to which other relations can be tied (``ground``).
        tokens: for each object the indices of its tokens.
        relations: between the objects.
    """

    scene: Scene
    sequence: tuple[Token, ...]
    tokens: tuple[tuple[int, ...], ...]
    relations: tuple[GroundedRelation, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The objects' phrases."""
        return tuple(span.text for span in self.scene.objects)

    def describe(self, relation: GroundedRelation) -> str:
        """The relation in words."""
        return f"{self.names[relation.subject]} {relation.relation.phrase} {self.names[relation.object]}"

    def summary(self) -> str:
        """All relations in words, a line each; or that there is none."""
        if not self.relations:
            return f'No spatial relation was found in "{self.scene.prompt}": sampling will not be steered.'
        return "\n".join(self.describe(relation) for relation in self.relations)


def ground(scene: Scene, tokens: Sequence[Token]) -> GroundedScene:
    """Tie each object of the scene to its tokens.

    Tokens are found by their character ranges if they have them, else by their texts.

    Raises:
        PhraseNotFoundError: names the prompt, the phrase and the tokens.
    """
    objects = scene.objects
    by_offset = all(token.span is not None for token in tokens if token.text)
    locate = _locate_by_offset if by_offset else _locate_by_text
    return GroundedScene(
        scene=scene,
        sequence=tuple(tokens),
        tokens=tuple(locate(scene.prompt, span, tokens) for span in objects),
        relations=tuple(
            GroundedRelation(objects.index(r.subject), r.relation, objects.index(r.object)) for r in scene.relations
        ),
    )


def token_texts(ids: Sequence[int], decode: Callable[[list[int]], str]) -> list[str]:
    """The text that each id adds to the decoded whole, spaces left out.

    Decoding ids one by one would break characters that several tokens share: such a character
    belongs to the token that completes it.

    Args:
        decode: ids to text, special tokens left out.
    """
    texts, before = [], ""
    for end in range(1, len(ids) + 1):
        whole = _fold(decode(list(ids[:end]))).rstrip("\N{REPLACEMENT CHARACTER}")
        texts.append(whole[len(before) :])
        before = max(before, whole, key=len)
    return texts


def _locate_by_offset(prompt: str, span: Span, tokens: Sequence[Token]) -> tuple[int, ...]:
    found = tuple(
        token.index for token in tokens if token.span and token.span[0] < span.end and token.span[1] > span.start
    )
    return found or _raise_not_found(prompt, span, tokens)


def _locate_by_text(prompt: str, span: Span, tokens: Sequence[Token]) -> tuple[int, ...]:
    """Find the phrase's occurrence of the same number in the tokens' joined texts as in the prompt."""
    phrase = _fold(span.text)
    texts = [_fold(token.text) for token in tokens]
    joined = "".join(texts)
    start = -1
    for _ in range(_occurrences(_fold(prompt[: span.start]), phrase) + 1):
        start = joined.find(phrase, start + 1)
        if start < 0:
            return _raise_not_found(prompt, span, tokens)
    found, position = [], 0
    for token, text in zip(tokens, texts):
        if text and position < start + len(phrase) and position + len(text) > start:
            found.append(token.index)
        position += len(text)
    return tuple(found)


def _occurrences(text: str, phrase: str) -> int:
    """How often the phrase starts in the text, overlaps counted."""
    return sum(text.startswith(phrase, start) for start in range(len(text)))


def _fold(text: str) -> str:
    """Case, accents' encoding and spaces folded away, as tokenizers do in their different ways."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _raise_not_found(prompt: str, span: Span, tokens: Sequence[Token]) -> tuple[int, ...]:
    shown = " ".join(token.text for token in tokens if token.text)
    raise PhraseNotFoundError(
        f'The phrase "{span.text}" of the prompt "{prompt}" was not found in the tokens the model is given: '
        f"[{shown}]. Use the text that the prompt was encoded from; if the prompt is too long for the model, "
        f"move the phrase nearer to its start."
    )
