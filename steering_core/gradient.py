"""The gradient of a loss of token maps in the latent that they are of."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .care import Care
from .token_maps import TokenMaps

#: From a latent (batch, …) in float32 to token maps in its autograd graph.
Probe = Callable[[Tensor], TokenMaps]

#: The loss is scaled up by this before the backward pass, and the gradient down after it, because its entries can
#: be smaller than the smallest number of a half-precision network. Where one grows beyond the largest, the next.
_GRADIENT_SCALES = (2.0**10, 2.0**4, 2.0**-2)


class Probed(NamedTuple):
    """What one probe gives, outside of the graph.

    Attributes:
        maps: of the objects.
        losses: (relations, batch).
        gradient: of the losses that miss the target, in float32, (batch, …).
    """

    maps: TokenMaps
    losses: Tensor
    gradient: Tensor


def probed(latent: Tensor, probe: Probe, score: Callable[[TokenMaps], Tensor], target: float, care: Care) -> Probed:
    """Probe a latent, score its maps, and differentiate.

    Args:
        score: the loss of each relation in each picture, (relations, batch).
        target: of the losses, which at or below it have no gradient.
        care: within which the probe runs.

    Raises:
        RuntimeError: the losses have another shape, or no gradient comes to the latent.
        Exception: whatever the probe or the loss raises.
    """
    for scale in _GRADIENT_SCALES:
        with torch.inference_mode(False), torch.enable_grad(), care():
            leaf = latent.detach().float().clone().requires_grad_()
            maps = probe(leaf.clone())  # a patch may change it in place
            losses = score(maps)
            if losses.dim() != 2 or losses.shape[1] != len(latent):
                given = " × ".join(map(str, losses.shape[1:])) or "one number for all"
                raise RuntimeError(f"the loss is to be a number for each of {len(latent)} pictures, not {given}")
            if not losses.requires_grad:
                raise RuntimeError(
                    "the loss has no gradient to the maps that it is given"
                    if maps.requires_grad
                    else "a patch or a wrapper of the model keeps every gradient from the latent"
                )
            missed = ~(losses <= target)  # what is not a number has not met it
            if not missed.any():
                return Probed(maps.detach(), losses.detach(), torch.zeros_like(leaf))
            (gradient,) = torch.autograd.grad((losses * missed).sum() * scale, leaf)
        # A loss that is no number itself is none at another scale either.
        if gradient.isfinite().all() or not losses.isfinite().all():
            break
    return Probed(maps.detach(), losses.detach(), gradient / scale)
