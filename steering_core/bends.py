"""How far the predicted noise is bent at most, by noise guidance."""

from __future__ import annotations

#: How much signal a latent alpha·x0 + sigma·epsilon is taken to hold at least when its noise is bent. Schedules
#: rescaled to zero terminal signal start at alpha = 0, where what a shift of the noise does is unbounded; Stable
#: Diffusion's own start at 0.068.
LEAST_ALPHA = 0.05

#: What a step is taken to remove of the noise at least when its prediction is bent by a strength: where it hardly
#: removes any, no bend moves the latent far, and a large one would only mislead solvers that remember it.
LEAST_REMOVED = 0.01


def bend_of_move(move: float, removes: float) -> float:
    """What the predicted noise is to be bent by, so that the latent moves so far until the next step.

    Args:
        move: in units of the noise.
        removes: ``SamplingStep.removes``; schedules can also stand still, or go up.
    """
    return move / min(1.0, max(LEAST_REMOVED, abs(removes)))


def bounded_shift(alpha: float) -> float:
    """What a shift of the noise is to be multiplied with, so that the clean image it implies stays bounded.

    In z = alpha·x0 + sigma·epsilon a shift s of the noise moves x0 by -s·sigma/alpha, which has no bound where the
    signal vanishes. With this factor it moves by at most s / ``LEAST_ALPHA``.

    Args:
        alpha: in [0, 1].

    Returns:
        1 from ``LEAST_ALPHA`` on, alpha / ``LEAST_ALPHA`` below it.
    """
    return min(1.0, alpha / LEAST_ALPHA)
