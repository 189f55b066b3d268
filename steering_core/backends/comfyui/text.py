"""Prompts in ComfyUI: their tokens, and their conditionings with the relations that these carry."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from comfy.sd import CLIP
from comfy.sd1_clip import SDTokenizer
from torch import Tensor

from ...relations.scene import Scene
from ...tokens import GroundedScene, Token, ground, token_texts
from .conditions import RELATIONS_ENTRY
from .encoders import Encoders, encoders_of
from .reading import read_prompt

#: What ComfyUI's nodes hand on as CONDITIONING.
Conditioning = list[list[Any]]


def encode_prompt(clip: CLIP, prompt: str, scene: Scene | None = None) -> tuple[Conditioning, GroundedScene]:
    """The conditioning of a prompt as CLIP Text Encode makes it, and the relations that it carries.

    Args:
        scene: relations made by other means than reading the prompt.

    Raises:
        PhraseNotFoundError: a phrase has no tokens.
        ValueError: see ``prompt_tokens``.
    """
    encoders, tokens = encoders_of(clip), clip.tokenize(prompt)
    conditioning = clip.encode_from_tokens_scheduled(tokens)
    scene = scene or read_prompt(prompt)
    grounded = ground(scene, _tokens(clip, encoders, prompt, tokens, lambda: conditioning[0]))
    grounded = replace(grounded, conditioning=conditioning[0][0])
    return [[vectors, {**extra, RELATIONS_ENTRY: grounded}] for vectors, extra in conditioning], grounded


def ground_prompt(clip: CLIP, prompt: str, scene: Scene | None = None) -> GroundedScene:
    """The relations of ``encode_prompt``."""
    return encode_prompt(clip, prompt, scene)[1]


def prompt_tokens(clip: CLIP, prompt: str) -> list[Token]:
    """The tokens of a prompt in the order of the text keys that the model attends to.

    Raises:
        ValueError: the model has no text encoder, or one whose tokens are not known here.
    """
    encoders, tokens = encoders_of(clip), clip.tokenize(prompt)
    encoded = cache(lambda: clip.encode_from_tokens_scheduled(tokens)[0])
    return _tokens(clip, encoders, prompt, tokens, encoded)


def _tokens(
    clip: CLIP,
    encoders: Encoders,
    prompt: str,
    whole: Mapping[str, Any],
    encoded: Callable[[], tuple[Tensor, dict[str, Any]]],
) -> list[Token]:
    """Each encoder's tokens that come into the conditioning, those of the prompt with their texts.

    Args:
        whole: the prompt as ``clip.tokenize`` gives it.
        encoded: the conditioning's vectors and its other entries, asked for only where an encoder's tokens are cut.
    """
    other = clip.tokenize(_unlike(prompt))
    tokens: list[Token] = []
    for number, segment in enumerate(encoders.loaded(clip)):
        key = segment.key or clip.tokenizer.clip_name
        ids, others = ([entry[0] for chunk in tokenized[key] for entry in chunk] for tokenized in (whole, other))
        weights = [entry[1] for chunk in whole[key] for entry in chunk]
        texts = _prompt_texts(segment.tokenizer_of(clip), ids, others)
        kept = segment.kept(len(ids), segment.length(*encoded())) if segment.kept else range(len(ids))
        tokens += [
            Token(len(tokens) + index, texts[place], segment=number, has_weight=weights[place] != 0)
            for index, place in enumerate(kept)
        ]
    return tokens


def _unlike(prompt: str) -> str:
    """A prompt whose first and last letter are others: what the tokens of both share is the template's."""
    return next(letter for letter in "012" if letter not in (prompt[:1], prompt[-1:]))


def _prompt_texts(tokenizer: SDTokenizer, ids: Sequence[Any], others: Sequence[Any]) -> list[str]:
    """The text of each token of the prompt; none for start, end, padding, the template's and embeddings.

    Args:
        ids: of the prompt in its template. An embedding ("embedding:name") stands among them as a tensor.
        others: of another prompt in the same template.
    """
    special = {tokenizer.start_token, tokenizer.end_token, tokenizer.pad_token}
    ours, theirs = (
        [(index, token) for index, token in enumerate(listed) if isinstance(token, int) and token not in special]
        for listed in (ids, others)
    )
    shortest = min(len(ours), len(theirs))
    before = _shared(ours, theirs, shortest)
    after = _shared(ours[::-1], theirs[::-1], shortest - before)
    own = ours[before : len(ours) - after]
    decode = tokenizer.tokenizer.decode
    texts = token_texts([token for _, token in own], lambda part: decode(part, skip_special_tokens=True))
    by_index = {index: text for (index, _), text in zip(own, texts)}
    return [by_index.get(index, "") for index in range(len(ids))]


def _shared(some: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]], most: int) -> int:
    """How many tokens at the beginning of both are the same."""
    pairs = zip(some[:most], others)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0][1] == pair[1][1], pairs))
