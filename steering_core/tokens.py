"""From the phrases of a scene to the positions of their tokens in the conditioning sequence."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise

from torch import Tensor

from .relations.named import numbered
from .relations.place import Place
from .relations.relation import Relation
from .relations.scene import Scene
from .relations.statement import Span, SpatialRelation, ends
from .relations.wording import clause
from .search import occurrences
from .wording import shortened

#: Soft hyphen, zero-width space, word joiner and byte order mark, to be left out by ``str.translate``.
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
#: So many ids at least, and nearly always at most, are decoded together; a character takes four at most.
_LEAST_PIECE, _MOST_PIECE = 8, 40


class PhraseNotFoundError(ValueError):
    """A phrase of the prompt has no tokens in the conditioning."""


@dataclass(frozen=True)
class Token:
    """One token of the conditioning sequence.

    Attributes:
        index: its position among the text keys that the model attends to, chunks joined.
        text: the text that it stands for; empty for start, end, padding and what a template adds.
        span: its half-open character range in the prompt, where the tokenizer gives it.
        segment: which encoder's part of the sequence it stands in, each of which holds the whole prompt.
        has_weight: whether the prompt gives it one; else it is encoded as an empty prompt's.
    """

    index: int
    text: str
    span: tuple[int, int] | None = None
    segment: int = 0
    has_weight: bool = True


@dataclass(frozen=True)
class GroundedRelation:
    """A relation between two objects of a ``GroundedScene``, by their positions there; of a place no object."""

    subject: int
    relation: Relation | Place
    object: int | None = None

    @property
    def ends(self) -> tuple[int, ...]:
        """Subject and object; of a place the subject alone."""
        return ends(self.subject, self.object)


@dataclass(frozen=True)
class GroundedScene:
    """A scene whose objects are tied to tokens of the conditioning.

    Attributes:
        scene: the prompt and its relations.
        sequence: all tokens of the conditioning, to which other relations can be tied (``ground``).
        tokens: for each object the indices of its tokens.
        relations: between the objects, and of objects to the picture.
        conditioning: the encoded prompt that the tokens count in, (1, tokens, width), where a backend ties the
            relations to a conditioning by its content.
    """

    scene: Scene
    sequence: tuple[Token, ...]
    tokens: tuple[tuple[int, ...], ...]
    relations: tuple[GroundedRelation, ...]
    conditioning: Tensor | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.summary()  # what core's Preview as Text shows

    @cached_property
    def phrases(self) -> tuple[str, ...]:
        """The objects' phrases; several objects can have one phrase."""
        return tuple(span.text for span in self.scene.objects)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The objects as a person is told of them, those of one phrase told apart."""
        return tuple(str(one) for one in numbered(self.scene.objects).values())

    @cached_property
    def words(self) -> tuple[int, ...]:
        """The indices of the tokens that stand for a part of the prompt, start, end and padding left out."""
        return tuple(token.index for token in self.sequence if token.text)

    def describe(self, relation: GroundedRelation) -> str:
        """The relation in words."""
        other = None if relation.object is None else self.names[relation.object]
        return clause(self.names[relation.subject], relation.relation.phrase, other)

    def summary(self) -> str:
        """All relations in words, a line each, or that there is none; and what was read that is not steered."""
        lines = [self.describe(relation) for relation in self.relations]
        none = f'No spatial relation was found in "{self.scene.as_written}": sampling will not be steered.'
        return "\n".join([*(lines or [none]), *self.scene.unsteered])


def ground(scene: Scene, tokens: Sequence[Token]) -> GroundedScene:
    """Tie each object of the scene to its tokens, in time linear in the prompt's length.

    Tokens are found by their character ranges if they have them, else by their texts, and in every segment that holds
    the phrase: one that cuts the prompt off before it does not. An object whose tokens have no weight has no place, so
    that its relations are left out.

    Raises:
        PhraseNotFoundError: names the prompt, the phrase and the tokens.
    """
    objects = scene.objects
    located: list[tuple[int, ...]] = [()] * len(objects)
    for number in sorted({token.segment for token in tokens}):
        found = _located(scene.prompt, objects, [token for token in tokens if token.segment == number])
        located = [before + indices for before, indices in zip(located, found)]
    for span, indices in zip(objects, located):
        if not indices:
            raise _not_found(scene.as_written, span, tokens)
    weighted = {token.index for token in tokens if token.has_weight}
    if weightless := {span for span, indices in zip(objects, located) if weighted.isdisjoint(indices)}:
        return ground(_without(scene, weightless), tokens)
    numbers = {span: number for number, span in enumerate(objects)}
    return GroundedScene(
        scene=scene,
        sequence=tuple(tokens),
        tokens=tuple(located),
        relations=tuple(
            GroundedRelation(numbers[r.subject], r.relation, None if r.object is None else numbers[r.object])
            for r in scene.relations
        ),
    )


def _without(scene: Scene, weightless: Set[Span]) -> Scene:
    """A scene without its relations of objects that have no weight."""
    kept, left_out = list[SpatialRelation](), list[str]()
    for relation in scene.relations:
        if names := [end.text for end in relation.ends if end in weightless]:
            left_out.append(f"{relation} ({' and '.join(names)}: a weight of 0)")
        else:
            kept.append(relation)
    return replace(scene, relations=tuple(kept), left_out=tuple(dict.fromkeys((*scene.left_out, *left_out))))


def without_invisible(text: str) -> str:
    """A text without the characters that stand within words and are not seen there."""
    return str.translate(text, _INVISIBLE)


def token_texts(ids: Sequence[int], decode: Callable[[list[int]], str]) -> list[str]:
    """The text that each id adds to the decoded whole, spaces left out.

    Decoding ids one by one would break characters that several tokens share: such a character
    belongs to the token that completes it.

    Args:
        decode: ids to text, special tokens left out.
    """
    texts: list[str] = []
    while len(texts) < len(ids):
        texts += _texts_of_piece(ids[len(texts) : _end_of_piece(ids, len(texts), decode)], decode)
    return texts


def _texts_of_piece(ids: Sequence[int], decode: Callable[[list[int]], str]) -> list[str]:
    texts, before = [], ""
    for end in range(1, len(ids) + 1):
        whole = _fold(decode(list(ids[:end]))).rstrip(_INCOMPLETE)
        texts.append(whole[len(before) :])
        before = max(before, whole, key=len)
    return texts


def _end_of_piece(ids: Sequence[int], start: int, decode: Callable[[list[int]], str]) -> int:
    """The next place where ids can be decoded apart, so that no character is divided and none changes."""
    most = min(start + _MOST_PIECE, len(ids))
    for end in range(start + _LEAST_PIECE, most):
        piece = _fold(decode(list(ids[start:end])))
        if piece.endswith(_INCOMPLETE):
            continue
        # What follows has to be whole too, for some decoders show a run of bytes as nothing but errors until it is.
        for stop in range(end + _LEAST_PIECE, end + _LEAST_PIECE + 4):
            both = _fold(decode(list(ids[start:stop])))
            if not both.endswith(_INCOMPLETE):
                if piece + _fold(decode(list(ids[end:stop]))) == both:
                    return end
                break
    return most


def _located(prompt: str, objects: Sequence[Span], tokens: Sequence[Token]) -> list[tuple[int, ...]]:
    """For each object the indices of its tokens in one segment."""
    by_offset = all(token.span is not None for token in tokens if token.text)
    return _locate_by_offset(objects, tokens) if by_offset else _locate_by_text(prompt, objects, tokens)


def _locate_by_offset(objects: Sequence[Span], tokens: Sequence[Token]) -> list[tuple[int, ...]]:
    placed = ((*token.span, token.index) for token in tokens if token.span)
    return _overlapping(placed, [(span.start, span.end) for span in objects])


def _locate_by_text(prompt: str, objects: Sequence[Span], tokens: Sequence[Token]) -> list[tuple[int, ...]]:
    """Find each phrase's occurrence of the same number in the tokens' joined texts as in the prompt.

    Args:
        objects: in reading order.
    """
    texts = [_fold(token.text) for token in tokens]
    ends = list(accumulate(map(len, texts)))
    placed = [(end - len(text), end, token.index) for token, text, end in zip(tokens, texts, ends) if text]
    phrases = [_fold(span.text) for span in objects]
    cuts = [0, *(span.start for span in objects), len(prompt)]
    pieces = [_fold(prompt[start:end]) for start, end in pairwise(cuts)]
    said, given = (occurrences("".join(parts), phrases) for parts in (pieces, texts))
    places = []
    for phrase, start in zip(phrases, accumulate(map(len, pieces))):
        number = bisect_left(said[phrase], start)
        at = given[phrase][number] if number < len(given[phrase]) else ends[-1]
        places.append((at, at + len(phrase)))
    return _overlapping(placed, places)


def _overlapping(placed: Iterable[tuple[int, int, int]], places: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """For each half-open range the tokens, given as (start, end, index), that share a part of it."""
    placed = sorted(placed)
    furthest = list(accumulate((end for _, end, _ in placed), max))
    found = []
    for start, end in places:
        near = range(bisect_right(furthest, start), bisect_left(placed, (end,)))
        found.append(tuple(placed[at][2] for at in near if placed[at][1] > start))
    return found


def _fold(text: str) -> str:
    """Case, accents' encoding, spaces and what is not seen folded away, as tokenizers do in their different ways."""
    return "".join(unicodedata.normalize("NFKC", without_invisible(text)).casefold().split())


def _not_found(prompt: str, span: Span, tokens: Sequence[Token]) -> PhraseNotFoundError:
    shown = " ".join(token.text for token in tokens if token.text)
    return PhraseNotFoundError(
        f'The phrase "{shortened(span.text)}" of the prompt "{shortened(prompt)}" was not found in the tokens the '
        f"model is given: [{shortened(shown)}]. Use the text that the prompt was encoded from; if the prompt is too "
        f"long for the model, move the phrase nearer to its start."
    )
