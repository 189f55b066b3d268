"""Words that were added to a tokenizer with several vectors each (textual inversion), as pipelines spell them out."""

from __future__ import annotations

import re
from typing import NamedTuple

from diffusers import DiffusionPipeline
from diffusers.loaders import TextualInversionLoaderMixin
from transformers import PreTrainedTokenizerBase

from ...wording import brief


class SpelledOut(NamedTuple):
    """A prompt as a pipeline tokenises it.

    Attributes:
        text: in which an added word of several vectors is followed by a word for each further one.
        places: of each of its characters the range in the prompt; of those of a further word that of the added one.
    """

    text: str
    places: list[tuple[int, int]]

    def place(self, start: int, end: int) -> tuple[int, int]:
        """What of the prompt a range of the text stands for; an empty range at 0 for an empty one."""
        within = self.places[max(start, 0) : max(end, 0)]
        return (within[0][0], within[-1][1]) if within else (0, 0)


def spelled_out(pipeline: DiffusionPipeline, prompt: str, tokenizer: PreTrainedTokenizerBase) -> SpelledOut:
    """A prompt as the pipeline tokenises it, before any template.

    Raises:
        ValueError: the pipeline changes it in another way than by further words of those that were added.
    """
    is_spelled_out = isinstance(pipeline, TextualInversionLoaderMixin)
    text = pipeline.maybe_convert_prompt(prompt, tokenizer) if is_spelled_out else prompt
    places, kept, at = list[tuple[int, int]](), "", 0
    for match in _further_words(tokenizer).finditer(text) if text != prompt else ():
        own, at = text[at : match.end(1)], match.end()
        places += ((len(kept) + of, len(kept) + of + 1) for of in range(len(own)))
        kept += own
        places += [(len(kept) - len(match[1]), len(kept))] * len(match[2])
    places += ((len(kept) + of, len(kept) + of + 1) for of in range(len(text) - at))
    if kept + text[at:] != prompt:
        raise ValueError(
            f"prompt: the words that were added to the tokenizer by textual inversion stand in it in a way that "
            f"diffusers spells out as {brief(text)}, of which it cannot be told what is the prompt's. Write each as it "
            f"was named when it was loaded."
        )
    return SpelledOut(text, places)


def _further_words(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """An added word of several vectors, and the words of the further ones behind it."""
    added = tokenizer.added_tokens_encoder
    several = sorted((re.escape(word) for word in added if f"{word}_1" in added), key=len, reverse=True)
    return re.compile(rf"({'|'.join(several)})((?: \1_\d+)+)")
