"""Noise guidance in a ComfyUI sampler: what the model predicts is bent after classifier-free guidance."""

from __future__ import annotations

from typing import Any

import comfy.samplers
from torch import Tensor

from ...bends import bounded_shift
from ...random_state import keeping_random_state
from ...schedule import SamplingStep
from .intervals import name_of
from .noise import FollowedSteps, input_scale, mask_at, noise_level, progress
from .view import NetworkView


class Guidance:
    """Bends the predictions of one run.

    Attributes:
        was_asked: whether any prediction came by that could have been bent.

    Args:
        view: of the run.
        sampler: that makes it.
        sigmas: the whole schedule.
        model_options: of the run.
        denoise_mask: the part of the latent that is denoised, if not all.
    """

    def __init__(
        self,
        view: NetworkView,
        sampler: comfy.samplers.Sampler,
        sigmas: Tensor,
        model_options: dict[str, Any],
        denoise_mask: Tensor | None,
    ) -> None:
        self._view, self._sigmas, self._model_options, self._denoise_mask = view, sigmas, model_options, denoise_mask
        self._steps = len(sigmas) - 1
        self._followed = FollowedSteps(sigmas.tolist())
        self._all_arrives = _goes_on_from_prediction(sampler)
        self.was_asked = False

    def bent(self, x: Tensor, timestep: Tensor, denoised: Tensor) -> Tensor:
        """The denoised latent of a latent, moved if its step is steered; both (batch, channels, H, W).

        Args:
            timestep: noise level of x, in each element.
        """
        self.was_asked = True
        sigma = float(timestep.flatten()[0])
        number = self._followed.at(sigma)
        if not self._view.steering.is_active(number, self._steps):
            return denoised
        shift = self._noise_shift(x, sigma, number)
        if shift is None:
            return denoised
        # The denoised latent is x - sigma·epsilon whatever the network predicts.
        guider = self._view.guider
        level = noise_level(guider.inner_model.model_sampling, sigma)
        bounded = level * bounded_shift(input_scale(guider, sigma))
        return (denoised - bounded * shift).to(denoised.dtype)

    def _noise_shift(self, x: Tensor, sigma: float, number: int) -> Tensor | None:
        """See ``Steering.noise_shift``; none as well where the conditioning of the relations does not act."""
        tied = self._view.acting(sigma, number)
        if tied is None:
            return None
        guider = self._view.guider
        removes = 1.0 if self._all_arrives else 1 - float(self._sigmas[number + 1] / self._sigmas[number])
        step = SamplingStep(number, self._steps, progress(guider.inner_model.model_sampling, sigma), removes)
        mask = mask_at(guider, self._denoise_mask, x, sigma, self._sigmas, self._model_options)
        latent, probe = self._view.of(x, sigma, self._model_options, tied)
        with keeping_random_state(x.device):
            return self._view.steering.noise_shift(latent, probe, step, mask)


def _goes_on_from_prediction(sampler: comfy.samplers.Sampler) -> bool:
    """Whether each step begins at the denoised latent, so that all of a bend arrives, however small the step.

    So does ``lcm``, which draws new noise besides and forgets a small bend in it; it is bent as other samplers are.
    """
    return name_of(getattr(sampler, "sampler_function", sampler)).endswith("_cfg_pp")
