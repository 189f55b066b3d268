"""Smoothing of token maps, as the losses of two papers ask for it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def smoothed(maps: Tensor, sigma: float) -> Tensor:
    """Each map convolved with a Gaussian of 3 × 3 cells; beyond the border it is mirrored.

    Args:
        maps: (batch, objects, H, W), H and W 2 or more.
        sigma: in cells.
    """
    offsets = torch.arange(-1, 2, dtype=maps.dtype, device=maps.device)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (weights[:, None] * weights) / weights.sum() ** 2
    padded = F.pad(maps.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="reflect")
    return F.conv2d(padded, kernel[None, None]).view_as(maps)
