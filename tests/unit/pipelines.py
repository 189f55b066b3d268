"""Pipelines of diffusers with random weights, what steering could leave behind in them, and runs with them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from toys import PROMPT
from transformers import PreTrainedTokenizerBase

from steering_core.backends.diffusers import ground_prompt, steered
from steering_core.backends.diffusers.families import unet_of
from steering_core.backends.diffusers.pipelines import kind_of
from steering_core.backends.diffusers.probe import probe_network
from steering_core.losses import CentroidLoss, SteeringLoss
from steering_core.miniature.networks import build_autoencoder, build_pipeline, build_text_encoder
from steering_core.miniature.tokenizer import train_tokenizer
from steering_core.probe import MapRequest
from steering_core.schedule import SteeringSchedule
from steering_core.steering import Steering
from steering_core.token_maps import TokenMaps


def small_tokenizer() -> PreTrainedTokenizerBase:
    """Trained on a few captions."""
    return train_tokenizer([PROMPT, "a dog and a cat", "a teddy bear to the left of a dog", "a cat below a car"] * 3)


def tiny_unet(**options: Any) -> UNet2DConditionModel:
    """As the miniature's, for latents of 8×8."""
    return UNet2DConditionModel(
        **{
            "sample_size": 8,
            "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            "block_out_channels": (32, 32),
            "layers_per_block": 1,
            "cross_attention_dim": 128,
            "attention_head_dim": 2,
            **options,
        }
    )


def random_pipeline(unet: UNet2DConditionModel, tokenizer: PreTrainedTokenizerBase) -> StableDiffusionPipeline:
    """With this network, and an autoencoder and a text encoder with random weights."""
    autoencoder, text_encoder = build_autoencoder(), build_text_encoder(tokenizer)
    return build_pipeline(unet, text_encoder, tokenizer, autoencoder)


class WatchedLoss(CentroidLoss):
    """Notes the maps and the share of the diffusion time of every call."""

    seen: ClassVar[list[tuple[TokenMaps, float]]] = []

    def for_network(self, network, relations):
        return WatchedLoss(layers=super().for_network(network, relations).layers)

    def __call__(self, maps, relation, progress):
        self.seen.append((maps.detach(), progress))
        return super().__call__(maps, relation, progress)


def make_steering(pipeline: StableDiffusionPipeline, loss: SteeringLoss | None = None, **schedule: Any) -> Steering:
    settings = {"refinements": 1, **schedule}  # their probes are counted
    return Steering(ground_prompt(pipeline, PROMPT), loss or CentroidLoss("gelu"), SteeringSchedule(**settings))


def sample(
    pipeline: StableDiffusionPipeline,
    steering: Steering | None = None,
    steps: int = 3,
    images: int = 2,
    prompt: str = PROMPT,
    **options: Any,
) -> torch.Tensor:
    """Latents of a fixed seed."""

    def run() -> torch.Tensor:
        return pipeline(
            prompt,
            num_inference_steps=steps,
            num_images_per_prompt=images,
            output_type="latent",
            generator=torch.Generator().manual_seed(0),
            **{"guidance_scale": 5.0, **options},
        ).images

    if steering is None:
        return run()
    with steered(pipeline, steering):
        return run()


def state(pipeline: StableDiffusionPipeline) -> dict[str, Any]:
    """Whatever a run could leave changed, beside the scheduler's own count of its steps."""
    network = kind_of(pipeline).network_of(pipeline)
    modules = {
        name: (
            sorted(vars(module)),
            {key: id(value) for key, value in module._modules.items()},
            {key: id(value) for key, value in vars(module).items() if callable(value)},
            {key: dict(value) for key, value in vars(module).items() if "hooks" in key and value},
            module.training,
        )
        for name, module in network.named_modules()
    }
    parameters = {
        name: (id(parameter), parameter.requires_grad, parameter.grad, parameter.detach().numpy().tobytes())
        for name, parameter in network.named_parameters()
    }
    scheduler = {name for name, value in vars(pipeline.scheduler).items() if callable(value)}
    return {
        "modules": modules,
        "parameters": parameters,
        "scheduler": scheduler,
        "random": torch.get_rng_state().tolist(),
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    }


def attentions(unet) -> dict:
    """The cross-attention of a UNet by the names of its layers."""
    return {name: layer.attention for name, layer in unet_of(unet).projections.items()}


def probe_unet(unet, latent, timestep, context, tokens, layers=(), standardised=(), **inputs):
    """Token maps of a forward of a UNet."""
    given = {"sample": latent, "timestep": timestep, "encoder_hidden_states": context, **inputs}
    return probe_network(unet, given, MapRequest(tokens, layers, objects=len(tokens), standardised=standardised))
