"""The tokenizers that ComfyUI ships with."""

from __future__ import annotations

import random

import pytest
from reference_texts import SENTENCES, reference_texts
from transformers import BertTokenizer, ByT5Tokenizer, CLIPTokenizer, Qwen2Tokenizer, T5TokenizerFast

from steering_core.tokens import token_texts

_TOKENIZERS = {
    "sd1_tokenizer": CLIPTokenizer,
    "text_encoders/t5_tokenizer": T5TokenizerFast,
    "text_encoders/qwen25_tokenizer": Qwen2Tokenizer,
    "text_encoders/hydit_clip_tokenizer": BertTokenizer,
    "text_encoders/byt5_tokenizer": ByT5Tokenizer,
}


@pytest.mark.parametrize("folder", _TOKENIZERS)
def test_texts_are_those_of_the_whole_decoded(comfyui, folder):
    place = comfyui.folder / "comfy" / folder
    if not place.is_dir():
        pytest.skip(f"this ComfyUI has no {folder}")
    tokenizer = _TOKENIZERS[folder].from_pretrained(place)
    rng = random.Random(0)
    sequences = [tokenizer(sentence, add_special_tokens=False)["input_ids"] for sentence in SENTENCES]
    sequences += [rng.choices(range(len(tokenizer)), k=60) for _ in range(30)]
    for ids in sequences:
        assert token_texts(ids, tokenizer.decode) == reference_texts(ids, tokenizer.decode)
