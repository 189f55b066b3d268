"""The network that has learned from prompts what they state of which words.

An encoder reads a prompt in pieces of words (``encoder.py``). What it makes of a word tells what is stated of it, and a
bilinear form of two words which of them is the other's object (after T. Dozat and C. Manning 2017, "Deep biaffine
attention for neural dependency parsing", equation 6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from ..files.shipped import MODELS_DIR
from ..relations.depth import Depth
from ..relations.place import Place
from ..relations.relation import Relation
from ..wording import one_line
from .encoder import MOST_PIECES, WIDTH, Encoder
from .rounding import restored

#: Where it ships: weights, and the tokenizer that divides words.
NETWORK_DIR = MODELS_DIR / "prompt_reader"
WEIGHTS_FILE, TOKENIZER_FILE = "network.safetensors", "tokenizer.json"

Kind = Relation | Place | Depth
#: What can be stated of one thing, and of two.
KINDS_OF_ONE: tuple[Kind, ...] = (*Place, Depth.IN_FOREGROUND, Depth.IN_BACKGROUND)
KINDS_OF_TWO: tuple[Relation | Depth, ...] = (*Relation, Depth.IN_FRONT_OF, Depth.BEHIND)
KINDS = (*KINDS_OF_ONE, *KINDS_OF_TWO)

#: Of a prompt as many pieces are read as nearly all had that the network was trained on: in longer ones it errs.
READ_PIECES = 128
#: Of what tells statements.
_HIDDEN, _ENDS = 256, 128
#: Words further apart than this are as far apart as this.
_FARTHEST = 16
_DROPOUT = 0.2


class Pieces(NamedTuple):
    """A prompt in pieces.

    Attributes:
        ids: of each piece in the tokenizer's list.
        words: the ranges of those words that lie in these pieces.
        first, last: of each such word, the positions of its first and its last piece.
    """

    ids: Sequence[int]
    words: Sequence[tuple[int, int]]
    first: Sequence[int]
    last: Sequence[int]


class Batch(NamedTuple):
    """Prompts in pieces as tensors, filled up to the longest: ids (B, L), padding (B, L), first and last (B, W)."""

    ids: Tensor
    padding: Tensor
    first: Tensor
    last: Tensor


class PromptNetwork(nn.Module):
    """Tells of each word what is stated of it, and which word is the object.

    Args:
        pieces: how many the tokenizer knows.
    """

    def __init__(self, pieces: int):
        super().__init__()
        self.encoder = Encoder(pieces)
        last = nn.Linear(_HIDDEN, len(KINDS))
        nn.init.constant_(last.bias, -4.0)  # few words have anything stated of them
        self.stated = nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(WIDTH, _HIDDEN), nn.GELU(), last)
        self.subject, self.object = (
            nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(WIDTH, _ENDS), nn.GELU(), nn.Dropout(_DROPOUT))
            for _ in range(2)
        )
        self.bilinear = nn.Parameter(torch.randn(len(KINDS_OF_TWO), _ENDS + 1, _ENDS + 1) * 0.03)
        self.apart = nn.Embedding(2 * _FARTHEST + 1, len(KINDS_OF_TWO))
        nn.init.zeros_(self.apart.weight)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of what is stated of each word, and of which word is the object.

        Returns:
            (B, kinds, W), and (B, kinds of two, W, W) from subjects to objects.
        """
        hidden = self.encoder(batch.ids, batch.padding)
        ends = [hidden.gather(1, at[..., None].expand(-1, -1, WIDTH)) for at in (batch.first, batch.last)]
        words = (ends[0] + ends[1]) / 2
        subject, object = (
            nn.functional.pad(end(words), (0, 1), value=1.0) for end in (self.subject, self.object)
        )  # (B, W, ends + 1)
        at = torch.arange(words.shape[1], device=words.device)
        apart = self.apart((at - at[:, None]).clamp(-_FARTHEST, _FARTHEST) + _FARTHEST).permute(2, 0, 1)
        objects = torch.einsum("bie,ref,bjf->brij", subject, self.bilinear, object) + apart
        return self.stated(words).transpose(1, 2), objects


class PromptReader:
    """A network and the tokenizer that goes with it.

    Args:
        longest: pieces of a prompt that are read.
    """

    def __init__(self, network: PromptNetwork, tokenizer: Tokenizer, longest: int = MOST_PIECES):
        self.network, self.tokenizer, self._longest = network, tokenizer, longest
        tokenizer.enable_truncation(longest)

    def in_pieces(self, prompt: str, words: Sequence[tuple[int, int]]) -> Pieces:
        """The first pieces of a prompt, and at most as many words.

        Args:
            words: their ranges in the prompt.
        """
        # A line's end is a blank for the tokenizer, and a prompt of lines would lose its form.
        encoding = self.tokenizer.encode(prompt.replace("\n", "|"))
        at = {place: piece for piece, (start, end) in enumerate(encoding.offsets) for place in range(start, end)}
        within = [(start, end) for start, end in words if start in at and end - 1 in at][: self._longest]
        return Pieces(encoding.ids, within, [at[start] for start, _ in within], [at[end - 1] for _, end in within])


def together(prompts: Sequence[Pieces]) -> Batch:
    """Several prompts at once; words that only fill up begin and end with the first piece."""
    longest, most = max(len(one.ids) for one in prompts), max(len(one.first) for one in prompts)

    def filled(rows: Iterator[Sequence[int]], length: int) -> Tensor:
        return torch.tensor([[*row, *[0] * (length - len(row))] for row in rows], dtype=torch.long)

    lengths = torch.tensor([len(one.ids) for one in prompts])
    return Batch(
        filled((one.ids for one in prompts), longest),
        torch.arange(longest) >= lengths[:, None],
        filled((one.first for one in prompts), most),
        filled((one.last for one in prompts), most),
    )


def load_reader(folder: Path = NETWORK_DIR) -> PromptReader:
    """The network that ships, for inference on the CPU.

    Raises:
        OSError: a file of it is missing; names it.
        ValueError: one is spoiled; names it.
    """
    for file in (folder / WEIGHTS_FILE, folder / TOKENIZER_FILE):
        if not file.is_file():
            raise FileNotFoundError(f"{file}, which reads prompts, is missing. Install the pack again.")
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    except Exception as error:  # it has no class of its own
        raise ValueError(
            f"{folder / TOKENIZER_FILE} is spoiled ({one_line(error)}). Install the pack again."
        ) from error
    with torch.device("meta"):  # whose weights draw no random numbers
        network = PromptNetwork(tokenizer.get_vocab_size())
    try:
        network.load_state_dict(restored(load_file(folder / WEIGHTS_FILE)), assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder / WEIGHTS_FILE} is spoiled ({error}). Install the pack again.") from error
    return PromptReader(network.eval().requires_grad_(False), tokenizer, READ_PIECES)
