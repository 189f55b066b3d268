"""Prompts in diffusers: their tokens and their relations."""

from __future__ import annotations

from diffusers import StableDiffusionPipeline

from ...parser import parse
from ...relations import Scene
from ...tokens import GroundedScene, Token, ground, token_texts


def ground_prompt(pipeline: StableDiffusionPipeline, prompt: str, scene: Scene | None = None) -> GroundedScene:
    """The prompt's relations, tied to tokens of the pipeline's text encoder.

    Args:
        scene: relations made by other means than reading the prompt.

    Raises:
        PhraseNotFoundError: a phrase is cut off because the prompt is too long.
    """
    return ground(scene or parse(prompt), prompt_tokens(pipeline, prompt))


def prompt_tokens(pipeline: StableDiffusionPipeline, prompt: str) -> list[Token]:
    """The tokens that the pipeline gives its text encoder, cut where it cuts them."""
    tokenizer = pipeline.tokenizer
    encoding = tokenizer(
        prompt,
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_special_tokens_mask=True,
        return_offsets_mapping=tokenizer.is_fast,
    )
    ids, special = encoding["input_ids"], encoding["special_tokens_mask"]
    if tokenizer.is_fast:
        spans = encoding["offset_mapping"]
        return [
            Token(index, "" if special[index] else prompt[start:end], None if special[index] else (start, end))
            for index, (start, end) in enumerate(spans)
        ]
    texts = token_texts(ids, lambda part: tokenizer.decode(part, skip_special_tokens=True))
    return [Token(index, text) for index, text in enumerate(texts)]
