"""Prompts in diffusers: their tokens and their relations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from diffusers import DiffusionPipeline
from transformers import PreTrainedTokenizerBase

from ...parser import parse
from ...relations.scene import Scene
from ...steering import SteeringError
from ...tokens import GroundedScene, Token, ground, token_texts
from ...wording import brief
from .pipelines import Segment, has_segment, kind_of, text_tokenizer
from .textual_inversion import spelled_out

#: In place of a prompt it tells where in a template the prompt stands: a character that no template holds.
_PLACE = "\ue000"


def ground_prompt(pipeline: DiffusionPipeline, prompt: str, scene: Scene | None = None) -> GroundedScene:
    """The prompt's relations, tied to tokens of the pipeline's text encoders.

    A pipeline that is to be given encoded prompts, and has no tokenizers, draws what is grounded with one that has.

    Args:
        scene: relations made by other means than reading the prompt.

    Raises:
        PhraseNotFoundError: a phrase is cut off because the prompt is too long.
        ValueError: the scene is of another prompt, the pipeline of no kind that can be steered, or its tokenizer does
            not tell what is the prompt.
    """
    if scene is not None and scene.prompt != prompt:
        raise ValueError(
            f"scene: its relations are of {brief(scene.prompt)}, and are to be tied to {brief(prompt)}. Make them of "
            f"the prompt that is drawn."
        )
    return ground(scene or parse(prompt), prompt_tokens(pipeline, prompt))


def prompt_tokens(pipeline: DiffusionPipeline, prompt: str) -> list[Token]:
    """The tokens that the network sees of a prompt, where the pipeline's own lengths are left as they are.

    Raises:
        ValueError: see ``ground_prompt``.
    """
    tokens: list[Token] = []
    first = 0
    for number, segment in enumerate(kind_of(pipeline).text):
        if has_segment(pipeline, segment):
            tokens += _tokens(pipeline, prompt, segment, number, first)
        first += segment.keys
    return tokens


def check_tokens(pipeline: DiffusionPipeline, scene: GroundedScene) -> None:
    """Refuse a scene that is tied to the tokens of another pipeline.

    One that lacks an encoder or a tokenizer is given texts that were encoded elsewhere: of these nothing is known.

    Raises:
        SteeringError: says so.
    """
    segments = kind_of(pipeline).text
    encodes = all(has_segment(pipeline, one) and getattr(pipeline, one.tokenizer) is not None for one in segments)
    if encodes and tuple(prompt_tokens(pipeline, scene.scene.prompt)) != scene.sequence:
        raise SteeringError(
            f"steering: its relations are tied to the tokens of another pipeline than this {type(pipeline).__name__}. "
            f"Make it with ground_prompt and the pipeline that draws."
        )


def check_prompt(pipeline: DiffusionPipeline, scene: GroundedScene, prompt: str) -> None:
    """Refuse a scene of another prompt, whose tokens stand for other words here.

    Raises:
        SteeringError: names both.
    """
    if tuple(prompt_tokens(pipeline, prompt)) != scene.sequence:
        check_tokens(pipeline, scene)
        raise SteeringError(
            f"prompt: {brief(prompt)} is to be drawn, and the steering is of {brief(scene.scene.prompt)}. Make it with "
            f"ground_prompt and the prompt that is drawn."
        )


def check_texts(pipeline: DiffusionPipeline, scene: GroundedScene, given: Mapping[str, Any]) -> None:
    """Refuse other texts than the scene's prompt, as far as the network attends to their tokens.

    Args:
        given: arguments of the pipeline's ``encode_prompt``; what is given encoded has no text.

    Raises:
        SteeringError: names both.
    """
    for segment in kind_of(pipeline).text:
        for name in segment.texts if has_segment(pipeline, segment) else ():
            texts = given.get(name) or given.get("prompt")  # no text is the prompt to diffusers
            several = {texts} if isinstance(texts, str) else set(texts or ())
            if len(several) == 1:  # several prompts are refused in the call's first step
                check_prompt(pipeline, scene, *several)


def _tokens(pipeline: DiffusionPipeline, prompt: str, segment: Segment, number: int, first: int) -> Iterator[Token]:
    """Of one segment.

    Args:
        first: index of its first key.
    """
    tokenizer = text_tokenizer(pipeline, segment)
    own = spelled_out(pipeline, prompt, tokenizer)
    text, place = segment.template(pipeline, own.text), segment.template(pipeline, _PLACE).index(_PLACE)
    if text[place : place + len(own.text)] != own.text:
        raise ValueError(f"prompt: the template of {type(tokenizer).__name__} changes it. Leave out its special words.")
    cut = getattr(pipeline, segment.cut) if segment.cut else 0
    most = tokenizer.model_max_length if segment.most is None else segment.most + cut
    encoding = tokenizer(
        text,
        truncation=True,
        max_length=most,
        # A chat template may bring the first token itself.
        add_special_tokens=not (tokenizer.bos_token and text.startswith(tokenizer.bos_token)),
        return_special_tokens_mask=True,
        return_offsets_mapping=tokenizer.is_fast,
    )
    ids = encoding["input_ids"]
    first += -cut + (most - len(ids) if segment.padded and tokenizer.padding_side == "left" else 0)
    if not tokenizer.is_fast:
        texts = _texts(tokenizer, ids, is_templated=text != own.text)
        return (Token(first + index, text, segment=number) for index, text in enumerate(texts))
    spans = [
        (0, 0) if is_special or _is_blank(tokenizer, token) else own.place(start - place, end - place)
        for is_special, token, (start, end) in zip(encoding["special_tokens_mask"], ids, encoding["offset_mapping"])
    ]
    return (
        Token(first + index, prompt[start:end], (start, end) if start < end else None, number)
        for index, (start, end) in enumerate(spans)
        if index >= cut
    )


def _is_blank(tokenizer: PreTrainedTokenizerBase, token: int) -> bool:
    """Whether a token is a blank alone, as T5 has before a word in pieces: it stands where the first letter does."""
    return not tokenizer.decode([token]).strip()


def _texts(tokenizer: PreTrainedTokenizerBase, ids: list[int], is_templated: bool) -> list[str]:
    """Of a tokenizer that does not tell the places of its tokens in the text."""
    if is_templated:
        raise ValueError(
            f"tokenizer: {type(tokenizer).__name__} does not tell which of its tokens are the prompt's and which the "
            f"template's. Load the pipeline with a fast tokenizer."
        )
    return token_texts(ids, lambda part: tokenizer.decode(part, skip_special_tokens=True))
