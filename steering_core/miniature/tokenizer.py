"""The miniature's tokenizer: CLIP's byte-pair scheme with a small vocabulary of its own."""

from __future__ import annotations

import json
import math
import string
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer, T5TokenizerFast

from .networks import CONTEXT_LENGTH, T5_LENGTH

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


def make_t5_tokenizer(texts: Iterable[str]) -> T5TokenizerFast:
    """T5's unigram scheme with the words of the texts as pieces, in lower case and with a capital letter.

    Every printable ASCII character is a piece as well, so unknown words are spelled. Looked up, not learned:
    the scheme's own training spells a world of so few words letter by letter.
    """
    words = Counter(word for text in texts for word in text.replace(",", " , ").split())
    total = sum(words.values())
    pieces = {f"\N{LOWER ONE EIGHTH BLOCK}{word}": math.log(count / total) for word, count in words.items()}
    for piece, score in list(pieces.items()):
        pieces.setdefault(piece[0] + piece[1:].capitalize(), score)
    spelled = 2 * min(pieces.values())
    for character in ("\N{LOWER ONE EIGHTH BLOCK}", *string.ascii_letters, *string.digits, *string.punctuation):
        pieces.setdefault(character, spelled)
    special = [(token, 0.0) for token in ("<pad>", "</s>", "<unk>")]
    return T5TokenizerFast(vocab=[*special, *pieces.items()], extra_ids=0, model_max_length=T5_LENGTH)


def save_vocabulary(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write ``vocab.json`` and ``merges.txt``, which older versions of transformers read."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    (folder / "merges.txt").write_text(_merges_text(" ".join(pair) for pair in model["merges"]), encoding="utf-8")


def _merges_text(merges: Iterable[str]) -> str:
    return "\n".join(["#version: 0.2", *merges]) + "\n"
