"""Text encoders of ComfyUI: whose tokens stand among the text keys of a model, in which order, and what is cut.

A row names tokenizers by their classes. What the rows say was read in ComfyUI 0.33.0; some are held against it by
tests/comfyui/test_encoders.py (docs/models.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from comfy.sd import CLIP
from comfy.sd1_clip import SD1Tokenizer, SDTokenizer
from torch import Tensor

from ...families import row_of


def _vectors(vectors: Tensor, extra: dict[str, Any]) -> int:
    """The tokens of the conditioning itself."""
    return vectors.shape[1]


def _llama(vectors: Tensor, extra: dict[str, Any]) -> int:
    """HiDream's Llama, (batch, layers, tokens, width)."""
    return extra["conditioning_llama3"].shape[2]


def _t5_ids(vectors: Tensor, extra: dict[str, Any]) -> int:
    """Anima's adapter makes a vector for each of T5's ids."""
    return len(extra["t5xxl_ids"])


def _last(tokens: int, length: int) -> Sequence[int]:
    """A template's beginning is cut."""
    return range(tokens - length, tokens)


def _without_last_five(tokens: int, length: int) -> Sequence[int]:
    """LongCat: so is its end, which has five tokens."""
    return range(tokens - length - 5, tokens - 5)


def _first_and_last(tokens: int, length: int) -> Sequence[int]:
    """PixelDiT: the start token, and as many of the last ones as fit."""
    return (0, *range(tokens - length + 1, tokens))


@dataclass(frozen=True)
class Segment:
    """One encoder's tokens among the text keys.

    Attributes:
        key: of its tokens in what ``clip.tokenize`` gives; that of a tokenizer with one encoder when empty.
        tokenizer: attribute of the model's tokenizer that holds the encoder's; likewise.
        models: attributes of the text model, one of which has to be loaded or the segment is missing; always there
            when none is named.
        kept: of the number of its tokens, and of how many come into the conditioning, the places of those that do;
            all do when not given.
        length: of a conditioning's vectors and its other entries how many tokens come into it.
    """

    key: str = ""
    tokenizer: str = ""
    models: tuple[str, ...] = ()
    kept: Callable[[int, int], Sequence[int]] | None = None
    length: Callable[[Tensor, dict[str, Any]], int] = _vectors

    def tokenizer_of(self, clip: CLIP) -> SDTokenizer:
        """The encoder's own tokenizer."""
        return getattr(clip.tokenizer, self.tokenizer or clip.tokenizer.clip)


@dataclass(frozen=True)
class Encoders:
    """One row: the encoders of models of one kind.

    Attributes:
        tokenizers: names of the classes.
        segments: in the order of the text keys.
    """

    tokenizers: tuple[str, ...]
    segments: tuple[Segment, ...]

    def loaded(self, clip: CLIP) -> list[Segment]:
        """The segments whose encoders are there."""
        return [
            segment
            for segment in self.segments
            if not segment.models or any(getattr(clip.cond_stage_model, name) is not None for name in segment.models)
        ]


ENCODERS = (
    # Both of SDXL's encoders cut a text into the same tokens, and stand side by side in the width of each.
    Encoders(("SDXLTokenizer",), (Segment("l", "clip_l"),)),
    Encoders(
        ("SD3Tokenizer",),
        (
            Segment("l", "clip_l", models=("clip_l", "clip_g")),
            Segment("t5xxl", "t5xxl", models=("t5xxl",)),
        ),
    ),
    Encoders(("FluxTokenizer",), (Segment("t5xxl", "t5xxl"),)),
    Encoders(
        ("HiDreamTokenizer",),
        (
            Segment("t5xxl", "t5xxl"),
            Segment("llama", "llama", kept=_last, length=_llama),
            Segment("llama", "llama", kept=_last, length=_llama),
        ),
    ),
    Encoders(("AnimaTokenizer",), (Segment("t5xxl", "t5xxl", kept=_last, length=_t5_ids),)),
    Encoders(("NewBieTokenizer",), (Segment("gemma", "gemma"),)),
    Encoders(("LongCatImageTokenizer",), (Segment(kept=_without_last_five),)),
    Encoders(("PixelDiTGemma2Tokenizer",), (Segment(kept=_first_and_last),)),
    Encoders(
        (
            "QwenImageTokenizer",
            "HunyuanImageTokenizer",
            "Kandinsky5TokenizerImage",
            "Krea2Tokenizer",
            "MageFlowTokenizer",
            "OvisTokenizer",
            "JoyImageTokenizer",
            "LensTokenizer",
        ),
        (Segment(kept=_last),),
    ),
    Encoders(
        (
            "SD1Tokenizer",
            "SD2Tokenizer",
            "ZImageTokenizer",
            "Flux2Tokenizer",
            "KleinTokenizer",
            "LuminaTokenizer",
            "NTokenizer",
            "ErnieTokenizer",
            "AuraT5Tokenizer",
            "PixArtTokenizer",
            "CosmosT5Tokenizer",
            "WanT5Tokenizer",
            "Omnigen2Tokenizer",
            "BooguTokenizer",
            "Ideogram4Tokenizer",
            "Ideogram4Qwen3VLTokenizer",
        ),
        (Segment(),),
    ),
)


def encoders_of(clip: CLIP | None) -> Encoders:
    """The row that describes a CLIP.

    Raises:
        ValueError: there is no text encoder, or no row describes it.
    """
    if clip is None:
        raise ValueError("clip: the checkpoint holds no text encoder. Load one with Load CLIP, and connect that.")
    kind = type(clip.tokenizer)
    rows = {name: encoders for encoders in ENCODERS for name in encoders.tokenizers}
    if kind is not SD1Tokenizer:  # from which those of every kind are derived
        del rows[SD1Tokenizer.__name__]
    encoders = row_of(kind, rows, attrgetter("__name__"))
    if encoders is None:
        raise ValueError(
            f"clip: what the tokens of {kind.__name__} stand for is not known here, so no relation can be tied to "
            f"them. Connect the CLIP of a model that can be steered (docs/models.md). A new kind takes a row in "
            f"steering_core/backends/comfyui/encoders.py: its encoders in the order of the text keys, and what of "
            f"their templates is cut."
        )
    return encoders
