"""A sampler's latent as the network is given it: its noise level, its scale, and the parts that are kept."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from typing import Any

import comfy.samplers
import torch
from torch import Tensor

#: Noise levels that differ by a smaller part are the same: some samplers reckon with their logarithms.
_SAME = 1e-5


def mask_at(
    guider: comfy.samplers.CFGGuider,
    denoise_mask: Tensor | None,
    x: Tensor,
    sigma: float,
    sigmas: Tensor,
    model_options: dict[str, Any],
) -> Tensor | None:
    """The part of the latent that this step denoises, 1 where it does; none where that is all of it."""
    if denoise_mask is None or "denoise_mask_function" not in model_options:
        return denoise_mask
    described = {"model": guider, "sigmas": sigmas}
    return model_options["denoise_mask_function"](x.new_full((len(x),), sigma), denoise_mask, extra_options=described)


def with_kept_region(
    guider: comfy.samplers.CFGGuider,
    model: comfy.samplers.KSamplerX0Inpaint,
    x: Tensor,
    sigma: float,
    denoise_mask: Tensor,
) -> Tensor:
    """The latent as the model will see it: outside the mask, the original picture with noise."""
    kept = guider.inner_model.scale_latent_inpaint(
        x=x,
        sigma=x.new_full((len(x),), sigma),
        noise=model.noise,
        latent_image=model.latent_image,
        denoise_mask=denoise_mask,
    )
    return x * denoise_mask + kept * (1 - denoise_mask)


class FollowedSteps:
    """Which step of a run a forward belongs to, told by its noise level.

    Where the noise only falls, or only rises, the level alone says it. A schedule that turns (a restart) comes to the
    same levels more than once: its stretches between turns are followed, each from when its first level is seen.

    Args:
        sigmas: of the schedule, two or more.
    """

    def __init__(self, sigmas: Sequence[float]) -> None:
        self._sigmas = sigmas
        turns = [0]
        for step in range(1, len(sigmas) - 1):
            if self._direction(turns[-1], step) * self._direction(step, step + 1) < 0:
                turns.append(step)
        #: First step of each stretch, and the one after its last.
        self._stretches = list(itertools.pairwise([*turns, len(sigmas) - 1]))
        self._current = 0

    def go_on_from(self, step: int) -> None:
        """What comes next is sampled from this step on."""
        self._current = next(at for at, (_, end) in enumerate(self._stretches) if step < end)

    def at(self, sigma: float) -> int:
        """The step, from 0, that begins at a noise level or is on its way there; of forwards in their order."""
        is_last = self._current == len(self._stretches) - 1
        if not is_last and math.isclose(sigma, self._sigmas[self._stretches[self._current][1]], rel_tol=_SAME):
            self._current += 1
        first, end = self._stretches[self._current]
        direction = self._direction(first, end)
        passed = sum(direction * level <= direction * sigma for level in self._sigmas[first + 1 : end + 1])
        return min(first + passed, end - 1)

    def _direction(self, first: int, last: int) -> int:
        """Whether the noise rises (1), falls (-1), or stands still (0) from one level to another."""
        return (self._sigmas[last] > self._sigmas[first]) - (self._sigmas[last] < self._sigmas[first])


def noise_shares(sampling: Any, sigmas: Tensor) -> list[float]:
    """Share of noise in the network's input before each step of a schedule: sigma/(alpha + sigma), in [0, 1].

    Args:
        sampling: the model's ``model_sampling``.
    """
    levels = sigmas[:-1].float().cpu()
    noise, signal = _in_latent(sampling, levels, noise=1.0), _in_latent(sampling, levels, signal=1.0)
    return (noise / (noise + signal)).tolist()


def noise_level(sampling: Any, sigma: float) -> float:
    """Standard deviation of the noise in a sampler's latent: sigma, and more where a flow scales its noise besides.

    Args:
        sampling: the model's ``model_sampling``.
    """
    return _in_latent(sampling, torch.tensor([sigma]), noise=1.0).item()


def _in_latent(sampling: Any, sigmas: Tensor, noise: float = 0.0, signal: float = 0.0) -> Tensor:
    """What a sampler's latent is at each sigma, of noise and a clean latent of these values: (sigmas,)."""
    size = (len(sigmas), 1, 1, 1)
    return sampling.noise_scaling(sigmas, torch.full(size, noise), torch.full(size, signal)).flatten()


def progress(sampling: Any, sigma: float) -> float:
    """Share of the diffusion time that is done at a noise level, in thousandths.

    Args:
        sampling: the model's ``model_sampling``.
    """
    parts = bisect.bisect_left(range(1000), -sigma, key=lambda part: -sampling.percent_to_sigma(part / 1000))
    return parts / 1000


def input_scale(guider: comfy.samplers.CFGGuider, sigma: float) -> float:
    """What a sampler's latent is multiplied with on its way into the network."""
    sampling = guider.inner_model.model_sampling
    return sampling.calculate_input(torch.tensor([sigma]), torch.ones(1, 1)).item()
