"""Which rows of a tensor are wanted, kept on its device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


def rows_of(tensor: Tensor, dim: int, numbers: Sequence[int]) -> Tensor:
    """The rows of those numbers along an axis, in their order; those of a loss's objects, of a prompt's tokens.

    A run asks for the same again in every layer of every probe, and to bring a list of numbers to a card is to wait
    for all that it has yet to compute.
    """
    return tensor.index_select(dim, _kept(tuple(numbers), tensor.device))


@lru_cache(maxsize=64)
def _kept(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # other calls will differentiate with them
        return torch.tensor(numbers, device=device)
