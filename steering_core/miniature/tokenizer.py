"""The miniature's tokenizer: CLIP's byte-pair scheme with a small vocabulary of its own."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from .networks import CONTEXT_LENGTH

_START, _END = "<|startoftext|>", "<|endoftext|>"
_VOCABULARY_SIZE = 1024
#: CLIP's own splitting into words (Radford et al. 2021, released with the model).
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def train_tokenizer(texts: Iterable[str]) -> CLIPTokenizer:
    """Learn the merges from texts; every byte has a token, so any prompt can be encoded."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=_END))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY_SIZE - len(alphabet) - 2,
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    model = json.loads(bpe.to_str())["model"]
    merges = [" ".join(pair) for pair in model["merges"]]
    learned = [
        token for token in model["vocab"] if token not in alphabet and token.removesuffix("</w>") not in alphabet
    ]
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *learned, _START, _END]
    with tempfile.TemporaryDirectory() as folder:
        vocab_file, merges_file = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab_file.write_text(json.dumps({token: index for index, token in enumerate(tokens)}), encoding="utf-8")
        merges_file.write_text(_merges_text(merges), encoding="utf-8")
        (Path(folder) / "tokenizer_config.json").write_text(
            json.dumps(
                {
                    "tokenizer_class": "CLIPTokenizer",
                    "bos_token": _START,
                    "eos_token": _END,
                    "unk_token": _END,
                    "pad_token": _END,
                    "model_max_length": CONTEXT_LENGTH,
                    "do_lower_case": True,
                }
            )
        )
        return CLIPTokenizer.from_pretrained(folder)


def save_vocabulary(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write ``vocab.json`` and ``merges.txt``, which older versions of transformers read."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    (folder / "merges.txt").write_text(_merges_text(" ".join(pair) for pair in model["merges"]), encoding="utf-8")


def _merges_text(merges: Iterable[str]) -> str:
    return "\n".join(["#version: 0.2", *merges]) + "\n"
