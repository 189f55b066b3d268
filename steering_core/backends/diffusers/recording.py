"""Pipelines of the diffusers library, as recording wants them: Stable Diffusion 1 and 2, and FLUX.1."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    StableDiffusionPipeline,
)
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from PIL import Image
from torch import Tensor, nn

from ...files.weights import weights_hash
from ...layers import AttentionLayer
from ...probe import MapRequest
from ...token_maps import TokenMaps
from ...tokens import Token
from ...training.recording import NoiseLevel, Outcome, PromptedModel
from .families import readable_network
from .pipelines import kind_of, least_side
from .probe import probe_network
from .schedulers import check_steps
from .text import prompt_tokens

#: The noise in z = alpha·x0 + sigma·noise, given z and what the network predicts (Salimans and Ho 2022, section 4).
_NOISE_IN_PREDICTION = {
    "epsilon": lambda output, z, alpha, sigma: output,
    "v_prediction": lambda output, z, alpha, sigma: alpha * output + sigma * z,
    "sample": lambda output, z, alpha, sigma: (z - alpha * output) / sigma,
}
#: Of the clean latent's squared share where a schedule leaves nothing of it, as in diffusers' Euler scheduler.
_LEAST_PRODUCT = 2.0**-24
#: Side in pixels at which Learn-to-Steer records FLUX.1 dev.
_FLUX_SIDE = 512


def recordable(pipeline: DiffusionPipeline, side: int | None = None) -> RecordablePipeline:
    """A pipeline as recording wants it.

    Args:
        pipeline: is not changed.
        side: of the pictures, in pixels; what Stable Diffusion's network is made for, and 512 for FLUX.1, when not
            given.

    Raises:
        ValueError: it is no pipeline of Stable Diffusion 1 or 2 or of FLUX.1, or cannot encode pictures of this side.
    """
    if isinstance(pipeline, StableDiffusionPipeline):
        return _StableDiffusion(pipeline, side or pipeline.unet.config.sample_size * pipeline.vae_scale_factor)
    if isinstance(pipeline, FluxPipeline):
        return _Flux(pipeline, side or _FLUX_SIDE)
    raise ValueError(
        f"{type(pipeline).__name__}: maps are recorded of Stable Diffusion 1 and 2, FLUX.1 and the miniature alone. "
        f"Give the folder of a StableDiffusionPipeline or a FluxPipeline."
    )


class RecordablePipeline(ABC):
    """See ``RecordableModel``.

    Args:
        network: the pipeline's denoiser.
    """

    def __init__(self, pipeline: Any, side: int, network: nn.Module) -> None:
        if side % (multiple := least_side(pipeline)):
            raise ValueError(f"size: a multiple of {multiple} was expected, not {side}.")
        self._pipeline, self._side, self._denoiser = pipeline, side, network
        self.network: tuple[AttentionLayer, ...] = readable_network(network).layers

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the denoiser's and the text encoders' weights."""
        names = ("text_encoder", "text_encoder_2")
        encoders = [encoder for name in names if (encoder := getattr(self._pipeline, name, None)) is not None]
        return weights_hash((self._denoiser, *encoders))

    @abstractmethod
    def noise_levels(self, steps: int) -> list[NoiseLevel]:
        """See ``RecordableModel``."""

    @abstractmethod
    def with_prompts(self, prompts: Sequence[str]) -> PromptedModel:
        """The denoiser with the text embeddings of these prompts."""

    def prepared(self, pictures: Sequence[Image.Image]) -> Tensor:
        """See ``RecordableModel``."""
        return self._preprocessed(pictures) / 2 + 0.5

    def encode(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Clean latents of pictures that are brought to their size, and cut to a square if they are none."""
        vae = self._pipeline.vae
        latent = vae.encode(self._preprocessed(pictures).to(vae.device, vae.dtype)).latent_dist.mode().float()
        return (latent - self._shift) * vae.config.scaling_factor

    def decode(self, latent: Tensor) -> Tensor:
        """See ``RecordableModel``."""
        vae = self._pipeline.vae
        picture = vae.decode((latent / vae.config.scaling_factor + self._shift).to(vae.dtype)).sample
        return (picture.float() / 2 + 0.5).clamp(0, 1)

    def tokens(self, prompt: str) -> list[Token]:
        """See ``RecordableModel``."""
        return prompt_tokens(self._pipeline, prompt)

    def prompted(
        self,
        pictures: Sequence[Image.Image],
        prompts: Sequence[str],
        work: Callable[[Tensor, PromptedModel], Outcome],
    ) -> Outcome:
        """See ``RecordableModel``."""
        clean = self.encode(pictures).repeat_interleave(len(prompts) // len(pictures), dim=0)
        return work(clean, self.with_prompts(prompts))

    @property
    def _shift(self) -> float:
        """Of the autoencoder's latents, before they are scaled."""
        return self._pipeline.vae.config.get("shift_factor") or 0.0

    def _preprocessed(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(batch, 3, side, side) in [-1, 1]."""
        return self._pipeline.image_processor.preprocess(list(pictures), self._side, self._side, resize_mode="crop")


class _StableDiffusion(RecordablePipeline):
    """Latents are x = x0 + sigma·noise, of which the network is given alpha·x."""

    def __init__(self, pipeline: StableDiffusionPipeline, side: int) -> None:
        super().__init__(pipeline, side, pipeline.unet)
        self._scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)

    def noise_levels(self, steps: int) -> list[NoiseLevel]:
        """Those of the pipeline's DDIM schedule."""
        check_steps(self._scheduler, steps)
        self._scheduler.set_timesteps(steps)
        products = self._scheduler.alphas_cumprod.clamp_min(_LEAST_PRODUCT)
        last = len(products) - 1
        times = self._scheduler.timesteps.flip(0).tolist()
        return [NoiseLevel(((1 - products[t]) / products[t]).sqrt().item(), 1 - t / last) for t in times]

    def with_prompts(self, prompts: Sequence[str]) -> PromptedModel:
        """See ``RecordablePipeline``."""
        context, _ = self._pipeline.encode_prompt(list(prompts), self._pipeline.device, 1, False)
        return _PromptedUNet(self._denoiser, self._scheduler, context)


class _PromptedUNet:
    """See ``PromptedModel``.

    Args:
        context: text embeddings, (batch, keys, width).
    """

    def __init__(self, unet: Any, scheduler: DDIMScheduler, context: Tensor) -> None:
        self._unet, self._context = unet, context
        self._last_timestep = len(scheduler.alphas_cumprod) - 1
        self._noise = _NOISE_IN_PREDICTION[scheduler.config.prediction_type]

    def derivative(self, latent: Tensor, level: NoiseLevel) -> Tensor:
        """The noise that the network predicts."""
        alpha, sigma, timestep = self._at(level)
        z = alpha * latent
        output = self._unet(z.to(self._unet.dtype), timestep, self._context, return_dict=False)[0].float()
        return self._noise(output, z, alpha, sigma)

    def noised(self, latent: Tensor, noise: Tensor, level: NoiseLevel) -> Tensor:
        """x = x0 + sigma·noise."""
        return latent + level.sigma * noise

    def token_maps(
        self, latent: Tensor, level: NoiseLevel, tokens: Sequence[Sequence[int]], layers: Sequence[str]
    ) -> TokenMaps:
        """See ``PromptedModel``."""
        alpha, _, timestep = self._at(level)
        inputs = {
            "sample": (alpha * latent).to(self._unet.dtype),
            "timestep": timestep,
            "encoder_hidden_states": self._context,
        }
        return probe_network(self._unet, inputs, MapRequest(tokens, layers))

    def _at(self, level: NoiseLevel) -> tuple[float, float, Tensor]:
        """alpha and sigma of z = alpha·x0 + sigma·noise, and the timestep."""
        alpha = (1 + level.sigma**2) ** -0.5
        return alpha, level.sigma * alpha, torch.tensor(round((1 - level.progress) * self._last_timestep))


class _Flux(RecordablePipeline):
    """Latents are x = (1 - sigma)·x0 + sigma·noise, (batch, channels, H, W)."""

    def __init__(self, pipeline: FluxPipeline, side: int) -> None:
        super().__init__(pipeline, side, pipeline.transformer)
        self._cells = side // least_side(pipeline)

    def noise_levels(self, steps: int) -> list[NoiseLevel]:
        """Those that the pipeline samples at."""
        scheduler = FlowMatchEulerDiscreteScheduler.from_config(self._pipeline.scheduler.config)
        config = scheduler.config
        shift = calculate_shift(
            self._cells**2, config.base_image_seq_len, config.max_image_seq_len, config.base_shift, config.max_shift
        )
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=shift)
        sigmas = scheduler.sigmas[:-1].tolist()
        return [NoiseLevel(sigma, number / steps) for number, sigma in reversed(list(enumerate(sigmas)))]

    def with_prompts(self, prompts: Sequence[str]) -> PromptedModel:
        """See ``RecordablePipeline``."""
        options = kind_of(self._pipeline).text_options(self._pipeline)
        context, pooled, text_ids = self._pipeline.encode_prompt(list(prompts), None, **options)
        image_ids = FluxPipeline._prepare_latent_image_ids(0, self._cells, self._cells, context.device, context.dtype)
        inputs = {
            "pooled_projections": pooled,
            "encoder_hidden_states": context,
            "txt_ids": text_ids,
            "img_ids": image_ids,
        }
        if self._pipeline.transformer.config.guidance_embeds:
            # As Learn-to-Steer inverts: without the guidance that is distilled into the network.
            inputs["guidance"] = torch.zeros(len(prompts), device=context.device)
        return _PromptedFlux(self._denoiser, inputs)


class _PromptedFlux:
    """See ``PromptedModel``.

    Args:
        inputs: of the transformer, beside latent and time.
    """

    def __init__(self, transformer: Any, inputs: Mapping[str, Tensor]) -> None:
        self._transformer, self._inputs = transformer, inputs

    def derivative(self, latent: Tensor, level: NoiseLevel) -> Tensor:
        """The velocity that the network predicts."""
        velocity = self._transformer(**self._given(latent, level), return_dict=False)[0].float()
        return FluxPipeline._unpack_latents(velocity, *latent.shape[-2:], vae_scale_factor=1)

    def noised(self, latent: Tensor, noise: Tensor, level: NoiseLevel) -> Tensor:
        """x = (1 - sigma)·x0 + sigma·noise."""
        return torch.lerp(latent, noise, level.sigma)

    def token_maps(
        self, latent: Tensor, level: NoiseLevel, tokens: Sequence[Sequence[int]], layers: Sequence[str]
    ) -> TokenMaps:
        """See ``PromptedModel``."""
        return probe_network(self._transformer, self._given(latent, level), MapRequest(tokens, layers))

    def _given(self, latent: Tensor, level: NoiseLevel) -> dict[str, Tensor]:
        packed = FluxPipeline._pack_latents(latent, *latent.shape)
        return {
            **self._inputs,
            "hidden_states": packed.to(self._transformer.dtype),
            "timestep": packed.new_full((len(latent),), level.sigma),
        }
