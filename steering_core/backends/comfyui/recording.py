"""ComfyUI's models, as recording wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import comfy.model_management
import comfy.samplers
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP, VAE
from PIL import Image
from torch import Tensor

from ...families import ReadableNetwork
from ...layers import AttentionLayer, check_layers
from ...token_maps import TokenMaps
from ...tokens import Token
from ...training.recording import NoiseLevel, Outcome, PromptedModel
from ...viz import from_image
from .families import readable_network
from .hashes import patched_hash
from .probe import probe_model
from .sampling import progress
from .text import prompt_tokens


class RecordableComfyModel:
    """See ``RecordableModel``. Latents are those of ComfyUI's samplers.

    Args:
        model, clip, vae: are not changed.
        size: (width, height) that pictures are cut and scaled to, in pixels.

    Raises:
        ValueError: how the model attends to the prompt is not known.
    """

    def __init__(self, model: ModelPatcher, clip: CLIP, vae: VAE, size: tuple[int, int]) -> None:
        self._model, self._clip, self._vae, self._size = model, clip, vae, size
        self._readable = readable_network(model)
        self.network: tuple[AttentionLayer, ...] = self._readable.layers

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what the denoiser and the text encoder compute with, loaded or not.

        Raises:
            ValueError: one is changed in a way that tells nothing of itself.
        """
        return patched_hash((self._model, self._clip.patcher))

    def noise_levels(self, steps: int) -> list[NoiseLevel]:
        """Evenly spaced in the diffusion time: the scheduler "simple"."""
        sampling = self._model.get_model_object("model_sampling")
        sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", steps)[:-1].flip(0).tolist()
        return [NoiseLevel(sigma, progress(sampling, sigma)) for sigma in sigmas]

    def tokens(self, prompt: str) -> list[Token]:
        """See ``RecordableModel``."""
        return prompt_tokens(self._clip, prompt)

    def prompted(
        self,
        pictures: Sequence[Image.Image],
        prompts: Sequence[str],
        work: Callable[[Tensor, PromptedModel], Outcome],
    ) -> Outcome:
        """See ``RecordableModel``; the work is done in the place of a sampler."""
        context = torch.cat([self._clip.encode_from_tokens(self._clip.tokenize(prompt)) for prompt in prompts])
        clean = self._encode(pictures).repeat_interleave(len(prompts) // len(pictures), dim=0)
        guider = comfy.samplers.CFGGuider(self._model)
        guider.set_conds([[context, {}]], [[torch.zeros_like(context), {}]])
        guider.set_cfg(1.0)  # at 1 the negative conditioning is not computed
        outcomes: list[Outcome] = []

        def sampler(model: Any, x: Tensor, sigmas: Tensor, extra_args: dict[str, Any], **_: Any) -> Tensor:
            outcomes.append(work(x, _PromptedGuider(guider, model, extra_args, self._readable)))
            return x

        # At sigma 0 the sampler is given the clean latents themselves.
        still = torch.zeros(2)
        guider.sample(
            torch.zeros_like(clean), clean, comfy.samplers.KSAMPLER(sampler), still, disable_pbar=True, seed=0
        )
        return outcomes[0]

    def _encode(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Latents as the VAE gives them, (batch, channels, H, W)."""
        scaled = []
        for picture in pictures:
            pixels = from_image(picture)[None]
            scaled.append(comfy.utils.common_upscale(pixels, *self._size, "lanczos", "center").movedim(1, -1))
        return self._vae.encode(torch.cat(scaled))


class _PromptedGuider:
    """See ``PromptedModel``: a guider while it samples."""

    def __init__(
        self, guider: comfy.samplers.CFGGuider, model: Any, extra_args: dict[str, Any], network: ReadableNetwork
    ) -> None:
        self._guider, self._model, self._extra_args, self._network = guider, model, extra_args, network

    def derivative(self, latent: Tensor, level: NoiseLevel) -> Tensor:
        """(x - denoised)/sigma."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        denoised = self._model(latent, latent.new_full((len(latent),), level.sigma), **self._extra_args)
        return (latent - denoised) / level.sigma

    def noised(self, latent: Tensor, noise: Tensor, level: NoiseLevel) -> Tensor:
        """As the model's own sampling mixes them."""
        return self._guider.inner_model.model_sampling.noise_scaling(latent.new_tensor(level.sigma), noise, latent)

    def token_maps(
        self, latent: Tensor, level: NoiseLevel, tokens: Sequence[Sequence[int]], layers: Sequence[str]
    ) -> TokenMaps:
        """See ``PromptedModel``."""
        options = self._extra_args["model_options"]
        (condition,) = self._guider.conds["positive"]
        wanted = check_layers(layers, self._network.layers)
        return probe_model(self._guider, condition, latent, level.sigma, options, tokens, self._network, wanted)
