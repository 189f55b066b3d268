"""Steering inside the calls of Stable Diffusion pipelines of the diffusers library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import torch
from diffusers import (
    DPMSolverSinglestepScheduler,
    PNDMScheduler,
    StableDiffusionAdapterPipeline,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from torch import Tensor

from ...schedule import SamplingStep
from ...steering import LEAST_ALPHA, Steering, SteeringError, bounded_shift, uses_guidance
from ...token_maps import TokenMaps
from .families import readable_network
from .probe import probe_network

#: What can be steered: here the guided half of a batch comes last, after the one without the prompt.
_PIPELINES = (
    StableDiffusionPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionAdapterPipeline,
)

#: Inputs of the network that have the pictures of one adapter in their first axis, or none.
_NOT_BATCHED = ("ip_adapter_masks",)

#: How a prediction follows a shift of the noise, given alpha and sigma of z = alpha·x0 + sigma·epsilon at a fixed z
#: (Salimans and Ho 2022, section 4). Each moves the clean image by the same, and has an end where alpha has none.
_PREDICTION_PER_NOISE = {
    "epsilon": lambda alpha, sigma: bounded_shift(alpha),
    "v_prediction": lambda alpha, sigma: 1 / max(alpha, LEAST_ALPHA),
    "sample": lambda alpha, sigma: -sigma / max(alpha, LEAST_ALPHA),
}


@contextmanager
def steered(pipeline: StableDiffusionPipeline, steering: Steering) -> Iterator[Steering]:
    """Within this context, calls of the pipeline are steered; afterwards it is as it was.

    Works with any prompt arguments of the pipeline and any scheduler that has ``alphas_cumprod``, and with what is
    hung on the network: LoRAs, IP-Adapters, ControlNets, T2I-Adapters, FreeU. All images of a call belong to the
    steering's one prompt. Each call begins the steering's trace anew.

    Args:
        pipeline: text to image, image to image or inpainting, with or without a ControlNet or T2I-Adapter.

    Raises:
        ValueError: the pipeline or the prediction type is of another kind, the scheduler does not tell its noise
            levels, the loss cannot read this network, or cannot score one of the relations.
        SteeringError: by a call, before its first step, when its prompt is shorter than the steering's.
    """
    if not isinstance(pipeline, _PIPELINES):
        raise ValueError(
            f"{type(pipeline).__name__} cannot be steered: how it guides the prompt is not known here. "
            f"Use one of {', '.join(kind.__name__ for kind in _PIPELINES)}."
        )
    if not hasattr(pipeline.scheduler, "alphas_cumprod"):
        raise ValueError(
            f"{type(pipeline.scheduler).__name__} has no alphas_cumprod, so the noise level of a step is unknown. "
            f"Use a scheduler for noise-prediction models, such as DDIM, Euler or DPM-Solver++."
        )
    if (predicted := pipeline.scheduler.config.prediction_type) not in _PREDICTION_PER_NOISE:
        raise ValueError(
            f"{type(pipeline.scheduler).__name__} is set to the prediction type {predicted}. "
            f"Set it to one of {', '.join(_PREDICTION_PER_NOISE)}, whichever the network was trained for."
        )
    if not steering.scene.relations:
        yield steering
        return
    run = _SteeredRun(pipeline, steering.bound_to(readable_network(pipeline.unet).layers))
    unet, scheduler = pipeline.unet, pipeline.scheduler
    # A compiler would otherwise take the steering for a part of the network.
    forward = torch.compiler.disable(run.forward)
    # The pipeline reads from their signatures what it may pass on, such as the generator.
    step = wraps(scheduler.step)(partial(run.scheduler_step))
    set_timesteps = wraps(scheduler.set_timesteps)(partial(run.set_timesteps))
    with _replaced(unet, forward=forward), _replaced(scheduler, step=step, set_timesteps=set_timesteps):
        yield steering


class _SteeredRun:
    """Stands between the pipeline and its network and scheduler.

    Args:
        steering: bound to the pipeline's network.
    """

    def __init__(self, pipeline: StableDiffusionPipeline, steering: Steering) -> None:
        self._pipeline, self._steering = pipeline, steering
        self._network_forward = pipeline.unet.forward
        self._step, self._set_timesteps = pipeline.scheduler.step, pipeline.scheduler.set_timesteps
        self._call = 0
        self._shift: Tensor | None = None

    def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
        """A new call of the pipeline begins."""
        self._set_timesteps(*args, **kwargs)
        self._steering.begin()
        self._call = 0
        self._shift = None

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, **inputs: Any) -> Any:
        """The network's forward, with the latent moved before or the noise shifted after it."""

        def network(sample: Tensor) -> Any:
            return self._network_forward(sample, timestep, encoder_hidden_states=encoder_hidden_states, **inputs)

        if self._call == 0:
            self._check_tokens(encoder_hidden_states.shape[1])
        step = SamplingStep(self._call, self._steps(), self._progress(timestep))
        self._call += 1
        if not self._steering.is_active(step.number, step.steps):
            return network(sample)
        halves = 2 if self._pipeline.do_classifier_free_guidance else 1
        # Networks for inpainting are given the mask and the masked picture in further channels.
        channels = self._pipeline.vae.config.latent_channels
        latent, further = sample[:, :channels].chunk(halves)[-1], sample[:, channels:]
        alpha, sigma = self._signal_and_noise(timestep)

        def probe(moved: Tensor) -> TokenMaps:
            given = {
                "timestep": timestep,
                "encoder_hidden_states": encoder_hidden_states,
                "further": further,
                **inputs,
            }
            return self._probe(moved.to(sample.dtype), _last_part(given, halves, len(sample)))

        if uses_guidance(self._steering):
            shift = self._steering.noise_shift(latent, probe, step)
            (output,) = network(sample)
            if shift is not None:
                shift = shift * self._prediction_per_noise(alpha, sigma)
                output = (output + torch.cat([shift] * halves)).to(output.dtype)
            return (output,)
        if self._keeps_moved_latent():
            moved = self._steering.descend(latent, probe, sigma, step)
            self._shift = moved - latent
            sample = torch.cat([torch.cat([moved] * halves), further], dim=1)
        return network(sample)

    def scheduler_step(self, model_output: Tensor, timestep: Tensor, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The scheduler's step, from the moved latent."""
        if self._shift is not None:
            scale = self._pipeline.scheduler.scale_model_input(torch.ones_like(sample[:1, :1, :1, :1]), timestep)
            sample, self._shift = sample + self._shift / scale, None
            if hasattr(self._pipeline.scheduler, "last_sample"):
                # A corrector (UniPC, SA-Solver) would start again from the latent before the move.
                self._pipeline.scheduler.last_sample = None
        return self._step(model_output, timestep, sample, *args, **kwargs)

    def _probe(self, latent: Tensor, given: dict[str, Any]) -> TokenMaps:
        """Of the guided half of what the network is given, with this latent in place of its own."""
        unet, loss = self._pipeline.unet, self._steering.loss
        given["sample"] = torch.cat([latent, given.pop("further")], dim=1)
        given.pop("return_dict", None)
        with _replaced(unet, forward=self._network_forward):
            return probe_network(unet, given, self._steering.scene.tokens, loss.layers, loss.over_all_keys)

    def _check_tokens(self, keys: int) -> None:
        """The steering's tokens lie within the prompt that is sampled."""
        if max(index for indices in self._steering.scene.tokens for index in indices) >= keys:
            raise SteeringError(
                f"prompt: the steering's relations lie beyond the {keys} tokens that the network is given, so they "
                f"belong to another prompt. Make the steering with ground_prompt and the prompt that is sampled."
            )

    def _steps(self) -> int:
        """Of this call; an image to image pipeline leaves out the first ones of the scheduler."""
        if hasattr(self._pipeline, "num_timesteps"):
            return self._pipeline.num_timesteps
        return len(self._pipeline.scheduler.timesteps)

    def _progress(self, timestep: Tensor) -> float:
        """Share of the diffusion time that is done."""
        return 1 - float(timestep) / (self._pipeline.scheduler.config.num_train_timesteps - 1)

    def _signal_and_noise(self, timestep: Tensor) -> tuple[float, float]:
        """alpha and sigma of the network's input z = alpha·x0 + sigma·epsilon, also between trained steps."""
        products = self._pipeline.scheduler.alphas_cumprod.double().cpu()
        time = min(max(float(timestep), 0.0), len(products) - 1.0)
        low = int(time)
        high = min(low + 1, len(products) - 1)
        product = torch.lerp(products[low], products[high], time - low).item()
        return product**0.5, (1 - product) ** 0.5

    def _prediction_per_noise(self, alpha: float, sigma: float) -> float:
        return _PREDICTION_PER_NOISE[self._pipeline.scheduler.config.prediction_type](alpha, sigma)

    def _keeps_moved_latent(self) -> bool:
        """Whether the scheduler goes on from the latent it is given, not from one it kept.

        The later evaluations of Heun, KDPM2, the SDE and the singlestep solver, and of PNDM's
        Runge-Kutta and first steps, are corrections on a latent of the scheduler's own.
        """
        scheduler = self._pipeline.scheduler
        if isinstance(scheduler, PNDMScheduler):
            runge_kutta = not scheduler.config.skip_prk_steps and scheduler.counter < len(scheduler.prk_timesteps)
            return scheduler.counter % 4 == 0 if runge_kutta else scheduler.counter != 1
        if isinstance(scheduler, DPMSolverSinglestepScheduler):
            return scheduler.order_list[scheduler.step_index or 0] == 1
        return getattr(scheduler, "state_in_first_order", True)


def _last_part(value: Any, parts: int, batch: int) -> Any:
    """The last part of every batched tensor, in containers of their own: a forward may empty those that it gets.

    Args:
        batch: of all parts together.
    """
    if isinstance(value, Tensor):
        return value.chunk(parts)[-1] if value.dim() and len(value) == batch else value
    if isinstance(value, dict):
        return {key: item if key in _NOT_BATCHED else _last_part(item, parts, batch) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_last_part(item, parts, batch) for item in value)
    return value


@contextmanager
def _replaced(target: Any, **attributes: Any) -> Iterator[None]:
    """The object's own attributes are these in this context, and as before after it."""
    before = {name: vars(target)[name] for name in attributes if name in vars(target)}
    for name, value in attributes.items():
        setattr(target, name, value)
    try:
        yield
    finally:
        for name in attributes:
            if name in before:
                setattr(target, name, before[name])
            else:
                delattr(target, name)
