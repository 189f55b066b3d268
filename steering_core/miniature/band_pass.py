"""A band-pass filter of pictures: the difference of two Gaussian blurs, in proportion to an object's size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Standard deviations of the band-pass filter, as shares of an object's longest side.
_FINE, _BROAD = 0.058, 0.165


def band_pass_filter(size: int, side: float) -> tuple[Tensor, Tensor]:
    """The fine and the broad blur along one axis for objects of a side, as matrices (size, size)."""
    fine, broad = (_gaussian(size, share * side) for share in (_FINE, _BROAD))
    return fine, broad


def band_passed(maps: Tensor, blurs: tuple[Tensor, Tensor]) -> Tensor:
    """The difference of the two blurs of square maps (..., size, size), which are zero beyond the border.

    Args:
        blurs: a ``band_pass_filter``.
    """
    fine, broad = blurs
    return fine @ maps @ fine - broad @ maps @ broad


def _gaussian(size: int, sigma: float) -> Tensor:
    """The symmetric matrix that blurs a signal of ``size`` samples."""
    sample = torch.arange(size)
    return torch.exp(-((sample - sample[:, None]) / sigma).square() / 2) / (sigma * math.sqrt(2 * math.pi))
