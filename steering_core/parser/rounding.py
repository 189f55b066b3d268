"""Weights in few bits, as they are stored."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

#: Weights of a row that share a factor, and how the name of their factors ends.
_GROUP, _SCALE = 32, ".scale"
#: A weight is one of 16 integers, -8 to 7.
_LEAST = -8


def rounded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices whose rows divide into groups of 32 as 4-bit integers, two in a byte, and a factor for each group.

    The weight of a group that is largest in size is -8 times the factor. All others are as they were.

    Raises:
        ValueError: a weight is no number, or larger than a factor of half precision allows.
    """
    stored = {}
    for name, weight in weights.items():
        if weight.dim() != 2 or weight.shape[-1] % _GROUP:
            stored[name] = weight.contiguous()
            continue
        groups = weight.float().unflatten(-1, (-1, _GROUP))
        largest = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
        scale = (largest / _LEAST).half()
        if not scale.isfinite().all():
            raise ValueError(f"{name}: weights of a size that can be stored were expected. The training went astray.")
        divisor = torch.where(scale == 0, 1, scale).float()
        integers = (groups / divisor).round().clamp(_LEAST, -_LEAST - 1).sub(_LEAST).to(torch.uint8).flatten(-2)
        stored[name], stored[name + _SCALE] = integers[:, ::2] | integers[:, 1::2] << 4, scale.squeeze(-1)
    return stored


def restored(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that ``rounded`` stored."""
    return {
        name: _restored(weight, stored[name + _SCALE]) if name + _SCALE in stored else weight
        for name, weight in stored.items()
        if not name.endswith(_SCALE)
    }


def _restored(bytes: Tensor, scale: Tensor) -> Tensor:
    integers = torch.stack([bytes & 15, bytes >> 4], -1).flatten(-2).float() + _LEAST
    return (integers.unflatten(-1, (-1, _GROUP)) * scale[..., None].float()).flatten(-2)
