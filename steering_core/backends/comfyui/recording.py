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

from ...layers import AttentionLayer
from ...networks import ReadableNetwork
from ...pictures import from_image
from ...probe import MapRequest
from ...token_maps import TokenMaps
from ...tokens import Token
from ...training.recording import NoiseLevel, Outcome, PromptedModel
from .families import readable_network
from .hashes import patched_hash
from .noise import progress
from .probe import probe_model
from .sampling import is_steered
from .text import prompt_tokens


class RecordableComfyModel:
    """See ``RecordableModel``. Latents are those of ComfyUI's samplers.

    Args:
        model, clip, vae: are not changed.
        size: (width, height) that pictures are cut and scaled to, in pixels.

    Raises:
        ValueError: how the model attends to the prompt is not known, or it is steered.
    """

    def __init__(self, model: ModelPatcher, clip: CLIP, vae: VAE, size: tuple[int, int]) -> None:
        if is_steered(model):
            raise ValueError(
                "model: it is steered, so that its maps would be those of moved latents. Connect the model from before "
                "the node that steers it."
            )
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
        conditioning = self._encoded(prompts)
        clean = self._vae.encode(self._fitted(pictures)).repeat_interleave(len(prompts) // len(pictures), dim=0)
        guider = comfy.samplers.CFGGuider(self._model)
        guider.set_conds(conditioning, conditioning)
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

    def prepared(self, pictures: Sequence[Image.Image]) -> Tensor:
        """See ``RecordableModel``."""
        return self._fitted(pictures).movedim(-1, 1)

    def decode(self, latent: Tensor) -> Tensor:
        """See ``RecordableModel``."""
        return self._vae.decode(self._model.model.process_latent_out(latent)).movedim(-1, 1)

    def _encoded(self, prompts: Sequence[str]) -> list[list[Any]]:
        """The conditioning of as many pictures, as node graphs hand it on.

        Raises:
            ValueError: the text encoder gives each prompt as many tokens as it has.
        """
        encoded = [self._clip.encode_from_tokens(self._clip.tokenize(prompt), return_pooled=True) for prompt in prompts]
        contexts, pooled = zip(*encoded)
        if len({context.shape[1] for context in contexts}) > 1:
            raise ValueError(
                "clip: this text encoder gives each prompt as many tokens as it has, and maps are recorded of prompts "
                "of one length alone. Record with a model whose prompts are padded, such as Stable Diffusion or FLUX.1."
            )
        # As Learn-to-Steer inverts: without the guidance that is distilled into FLUX.1 dev.
        entries: dict[str, Any] = {"guidance": 0.0}
        if pooled[0] is not None:
            entries["pooled_output"] = torch.cat(pooled)
        return [[torch.cat(contexts), entries]]

    def _fitted(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Pictures cut and scaled, (batch, H, W, 3) in [0, 1]."""
        scaled = []
        for picture in pictures:
            pixels = from_image(picture)[None]
            scaled.append(comfy.utils.common_upscale(pixels, *self._size, "lanczos", "center").movedim(1, -1))
        return torch.cat(scaled)


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
        request = MapRequest(tokens, layers)
        return probe_model(self._guider, condition, latent, level.sigma, options, self._network, request)
