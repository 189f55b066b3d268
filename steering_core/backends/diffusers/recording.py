"""Stable Diffusion pipelines of the diffusers library, as recording wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from torch import Tensor

from ...layers import AttentionLayer
from ...token_maps import TokenMaps
from ...tokens import Token
from ...training.recording import NoiseLevel, Outcome, PromptedModel, weights_hash
from .families import readable_network
from .probe import probe_network
from .text import prompt_tokens

#: The noise in z = alpha·x0 + sigma·noise, given z and what the network predicts (Salimans and Ho 2022, section 4).
_NOISE_IN_PREDICTION = {
    "epsilon": lambda output, z, alpha, sigma: output,
    "v_prediction": lambda output, z, alpha, sigma: alpha * output + sigma * z,
    "sample": lambda output, z, alpha, sigma: (z - alpha * output) / sigma,
}


class RecordablePipeline:
    """See ``RecordableModel``. Latents are x = x0 + sigma·noise, of which the network is given alpha·x.

    Args:
        pipeline: is not changed.

    Raises:
        ValueError: it is no pipeline of Stable Diffusion 1 or 2.
    """

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        if not isinstance(pipeline, StableDiffusionPipeline):
            raise ValueError(
                f"{type(pipeline).__name__}: maps are recorded of Stable Diffusion 1 and 2 and the miniature alone. "
                f"Give the folder of a StableDiffusionPipeline."
            )
        self._pipeline = pipeline
        self._scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
        self.network: tuple[AttentionLayer, ...] = readable_network(pipeline.unet).layers

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the denoiser's and the text encoder's weights."""
        return weights_hash((self._pipeline.unet, self._pipeline.text_encoder))

    def noise_levels(self, steps: int) -> list[NoiseLevel]:
        """Those of the pipeline's DDIM schedule."""
        self._scheduler.set_timesteps(steps)
        products, last = self._scheduler.alphas_cumprod, len(self._scheduler.alphas_cumprod) - 1
        times = self._scheduler.timesteps.flip(0).tolist()
        return [NoiseLevel(((1 - products[t]) / products[t]).sqrt().item(), 1 - t / last) for t in times]

    def encode(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Pictures are brought to the network's size, and cut to a square if they are none."""
        vae = self._pipeline.vae
        side = self._pipeline.unet.config.sample_size * self._pipeline.vae_scale_factor
        prepared = self._pipeline.image_processor.preprocess(list(pictures), side, side, resize_mode="crop")
        latent = vae.encode(prepared.to(vae.device, vae.dtype)).latent_dist.mode()
        return latent.float() * vae.config.scaling_factor

    def decode(self, latent: Tensor) -> Tensor:
        """Clean latents to pictures (batch, 3, H, W) in [0, 1]."""
        vae = self._pipeline.vae
        picture = vae.decode((latent / vae.config.scaling_factor).to(vae.dtype)).sample
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

    def with_prompts(self, prompts: Sequence[str]) -> PromptedPipeline:
        """The denoiser with the text embeddings of these prompts."""
        context, _ = self._pipeline.encode_prompt(list(prompts), self._pipeline.device, 1, False)
        return PromptedPipeline(self._pipeline.unet, self._scheduler, context)


class PromptedPipeline:
    """See ``PromptedModel``.

    Args:
        context: text embeddings, (batch, keys, width).
    """

    def __init__(self, unet: UNet2DConditionModel, scheduler: DDIMScheduler, context: Tensor) -> None:
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
        return probe_network(self._unet, inputs, tokens, layers)

    def _at(self, level: NoiseLevel) -> tuple[float, float, Tensor]:
        """alpha and sigma of z = alpha·x0 + sigma·noise, and the timestep."""
        alpha = (1 + level.sigma**2) ** -0.5
        return alpha, level.sigma * alpha, torch.tensor(round((1 - level.progress) * self._last_timestep))
