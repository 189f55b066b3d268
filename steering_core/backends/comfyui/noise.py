"""A sampler's latent as the network is given it: its noise level, its scale, and the parts that are kept."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import comfy.samplers
import torch
from torch import Tensor


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


def step_at(sigmas: Sequence[float], sigma: float) -> int:
    """The step, from 0, that begins at a noise level or is on its way there.

    Args:
        sigmas: of the schedule.
    """
    return min(sum(level >= sigma for level in sigmas[1:]), len(sigmas) - 2)


def noise_shares(sampling: Any, sigmas: Tensor) -> list[float]:
    """Share of noise in the network's input before each step of a schedule: sigma/(alpha + sigma), in [0, 1].

    Args:
        sampling: the model's ``model_sampling``.
    """
    levels = sigmas[:-1].float().cpu()
    everything = torch.ones(len(levels), 1, 1, 1)
    nothing = torch.zeros_like(everything)
    noise = sampling.noise_scaling(levels, everything, nothing)
    signal = sampling.noise_scaling(levels, nothing, everything)
    return (noise / (noise + signal)).flatten().tolist()


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
