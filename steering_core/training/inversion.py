"""Deterministic inversion: from a clean latent to the noise that a sampler would draw it from.

Latents x are those of the sampler in which x = x0 + sigma·noise (noise and velocity prediction) or
x = (1 - sigma)·x0 + sigma·noise (flow models). In both, the sampler follows
dx/dsigma = (x - denoised)/sigma, so that an Euler step is a DDIM step of the former (Karras et al.
2022, eq. 4; Song et al. 2021, eq. 13) and a rectified-flow step of the latter (Liu et al. 2023, eq. 1).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

#: dx/dsigma of a latent (batch, …) at a noise level: (x - denoised)/sigma.
Derivative = Callable[[Tensor, float], Tensor]


def invert(derivative: Derivative, latent: Tensor, sigmas: Sequence[float], refinements: int) -> Iterator[Tensor]:
    """The latents from which Euler steps lead back to a clean one.

    Each solves x' = x + (sigma' - sigma)·d(x', sigma') by fixed-point iteration from x' = x;
    without refinements this is the plain inversion of DDIM, which takes d at x.

    Args:
        latent: clean, (batch, …).
        sigmas: ascending noise levels, all above 0.
        refinements: how often each solution is improved.

    Yields:
        The latent at each of the sigmas.
    """
    for lower, upper in itertools.pairwise((0.0, *sigmas)):
        start = latent
        for _ in range(1 + refinements):
            latent = start + (upper - lower) * derivative(latent, upper)
        yield latent


def psnr(pictures: Tensor, others: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures (batch, 3, H, W) in [0, 1], (batch,), in dB."""
    return -10 * (pictures - others).square().mean(dim=(1, 2, 3)).log10()


def reconstruct(derivative: Derivative, latent: Tensor, sigmas: Sequence[float]) -> Tensor:
    """The clean latent to which Euler steps lead.

    Args:
        latent: at the last of the sigmas, (batch, …).
        sigmas: ascending noise levels, all above 0.
    """
    for upper, lower in itertools.pairwise((*reversed(sigmas), 0.0)):
        latent = latent + (lower - upper) * derivative(latent, upper)
    return latent
