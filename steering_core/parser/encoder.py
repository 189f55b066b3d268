"""The encoder of a prompt's pieces.

It has MPNet's shape (K. Song et al. 2020, "MPNet: Masked and Permuted Pre-training", base): twelve layers of width 768,
each of which attends and then feeds forward, and to whose logits a bias is added for how far apart two pieces are
(C. Raffel et al. 2020, "Exploring the Limits of Transfer Learning", section 2.1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

#: Pieces that it has positions for, with one that begins and one that ends a prompt.
MOST_PIECES = 512
LAYERS, WIDTH, HEADS = 12, 768, 12
_EPSILON = 1e-5
_DROPOUT = 0.1
#: Biases for how far apart two pieces are, half of them for each direction, and from where on all have the last.
_BIASES, _FAR = 32, 128
#: What is added to the logits of pieces that only fill up.
_UNSEEN = -1e4


class Encoder(nn.Module):
    """Makes a vector of each piece of a prompt, which knows of the others.

    Args:
        pieces: how many the tokenizer knows.
    """

    def __init__(self, pieces: int):
        super().__init__()
        self.pieces = nn.Embedding(pieces, WIDTH)
        self.positions = nn.Embedding(MOST_PIECES, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=_EPSILON)
        self.apart = nn.Embedding(_BIASES, HEADS)
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))

    def forward(self, ids: Tensor, padding: Tensor) -> Tensor:
        """Of pieces (B, L) and where they only fill up (B, L): vectors, (B, L, width)."""
        hidden = self.norm(self.pieces(ids) + self.positions.weight[: ids.shape[1]])
        bias = self.apart(_number_of_bias(ids.shape[1])).permute(2, 0, 1)
        bias = bias.masked_fill(padding[:, None, None], _UNSEEN)  # (B, heads, L, L)
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return hidden


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.attended, self.fed = nn.LayerNorm(WIDTH, eps=_EPSILON), nn.LayerNorm(WIDTH, eps=_EPSILON)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        q, k, v = self.qkv(hidden).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        attention = nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=bias.to(q.dtype), dropout_p=_DROPOUT if self.training else 0.0
        )
        hidden = self.attended(hidden + self.dropout(self.out(attention.transpose(1, 2).flatten(2))))
        return self.fed(hidden + self.dropout(self.narrow(nn.functional.gelu(self.wide(hidden)))))


def _number_of_bias(length: int) -> Tensor:
    """(L, L): which bias each piece has for each other; near ones have one each, farther ones share by logarithm."""
    at = torch.arange(length)
    apart = at - at[:, None]
    distance, half = apart.abs(), _BIASES // 2
    near = half // 2
    farther = near + ((distance.clamp_min(1) / near).log() / math.log(_FAR / near) * (half - near)).long()
    return torch.where(distance < near, distance, farther.clamp_max(half - 1)) + half * (apart > 0)
