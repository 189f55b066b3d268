"""Noise guidance in a ComfyUI sampler: what the model predicts is bent after classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import comfy.samplers
from torch import Tensor

from ...bends import bounded_shift
from ...gradient import Probe
from ...schedule import SamplingStep
from .intervals import name_of
from .noise import FollowedSteps, input_scale, mask_at, noise_level, progress
from .own_forwards import OwnForwards
from .view import NetworkView


class Guidance:
    """Bends the predictions of one run.

    Attributes:
        was_asked: whether any prediction came by that could have been bent.

    Args:
        view: of the run.
        own_forwards: of the run.
        sampler: that makes it.
        sigmas: the whole schedule.
        model_options: of the run.
        denoise_mask: the part of the latent that is denoised, if not all.
    """

    def __init__(
        self,
        view: NetworkView,
        own_forwards: OwnForwards,
        sampler: comfy.samplers.Sampler,
        sigmas: Tensor,
        model_options: dict[str, Any],
        denoise_mask: Tensor | None,
    ) -> None:
        self._view, self._own_forwards = view, own_forwards
        self._sigmas, self._model_options, self._denoise_mask = sigmas, model_options, denoise_mask
        self._steps = len(sigmas) - 1
        self._followed = FollowedSteps(sigmas.tolist())
        self._all_arrives = _goes_on_from_prediction(sampler)
        self.was_asked = False

    def predicted(self, predict: Callable[[], Tensor], x: Tensor, timestep: Tensor) -> Tensor:
        """The denoised latent of a latent, moved if its step is steered; both (batch, channels, H, W).

        Args:
            predict: the guider's own prediction.
            timestep: noise level of x, in each element.
        """
        self.was_asked = True
        sigma = float(timestep.flatten()[0])
        number = self._followed.at(sigma)
        if not self._view.steering.is_active(number, self._steps):
            return predict()
        tied = self._view.acting(sigma, number)
        if tied is None:
            return predict()
        guider = self._view.guider
        sampling = guider.inner_model.model_sampling
        removes = 1.0 if self._all_arrives else 1 - float(self._sigmas[number + 1] / self._sigmas[number])
        step = SamplingStep(number, self._steps, progress(sampling, sigma), removes)
        mask = mask_at(guider, self._denoise_mask, x, sigma, self._sigmas, self._model_options)
        shifts: list[Tensor | None] = []

        def look(latent: Tensor, probe: Probe) -> None:
            shifts.append(self._view.steering.noise_shift(latent, probe, step, mask))

        look_apart = partial(self._own_forwards.look_apart, look, x, sigma, tied, self._model_options)
        is_bound = self._view.steering.is_bound(number, self._steps)
        if not is_bound and self._own_forwards.can_serve(step, tied[0], self._model_options):
            with self._own_forwards.looking(look, x.shape, tied, look_apart):
                denoised = predict()
        else:
            denoised = predict()
            look_apart()
        (shift,) = shifts
        if shift is None:
            return denoised
        # The denoised latent is x - sigma·epsilon whatever the network predicts.
        bounded = noise_level(sampling, sigma) * bounded_shift(input_scale(guider, sigma))
        return (denoised - bounded * shift).to(denoised.dtype)


def _goes_on_from_prediction(sampler: comfy.samplers.Sampler) -> bool:
    """Whether each step begins at the denoised latent, so that all of a bend arrives, however small the step.

    So does ``lcm``, which draws new noise besides and forgets a small bend in it; it is bent as other samplers are.
    """
    return name_of(getattr(sampler, "sampler_function", sampler)).endswith("_cfg_pp")
