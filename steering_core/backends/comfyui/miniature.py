"""The shipped miniature as ComfyUI's ordinary MODEL, CLIP and VAE.

ComfyUI detects the architecture of a checkpoint from its keys and knows none of this size, so the
configurations are given here; weights, key maps and classes are the stock ones.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import comfy.clip_model
import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.sd
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.model_patcher import CoreModelPatcher, ModelPatcher
from comfy.sd1_clip import SD1ClipModel, SD1Tokenizer, SDClipModel, SDTokenizer
from torch import nn
from transformers import CLIPTokenizer

from ...miniature.folder import LATENT_PREVIEW_FILE, read_config

_CLIP_NAME = "clip_l"


def load_miniature(folder: Path) -> tuple[ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """Load the pipeline folder of a miniature.

    Raises:
        FileNotFoundError: a file of the pipeline is missing; the message names it.
    """
    return _load_model(folder), _load_clip(folder), _load_vae(folder)


def is_miniature(model: ModelPatcher) -> bool:
    """Whether a MODEL is the miniature, with whatever patches."""
    network = model.model
    return isinstance(network, comfy.model_base.BaseModel) and isinstance(network.model_config, _MiniatureConfig)


def _load_model(folder: Path) -> ModelPatcher:
    config = read_config(folder / "unet" / "config.json")
    weights = _weights(folder / "unet" / "diffusion_pytorch_model.safetensors")
    model_config = _MiniatureConfig(_unet_config(config))
    model_config.latent_format = _latent_format(folder)
    model_config.sampling_settings = _sampling_settings(folder)
    load_device = comfy.model_management.get_torch_device()
    dtype = comfy.model_management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(weights),
        supported_dtypes=model_config.supported_inference_dtypes,
        weight_dtype=comfy.utils.weight_dtype(weights),
    )
    cast = comfy.model_management.unet_manual_cast(dtype, load_device, model_config.supported_inference_dtypes)
    model_config.set_inference_dtype(dtype, cast, device=load_device)
    model = model_config.get_model({})
    keys = comfy.utils.unet_to_diffusers(model_config.unet_config)
    model.load_model_weights({keys[name]: weight for name, weight in weights.items()})
    return CoreModelPatcher(model, load_device, comfy.model_management.unet_offload_device())


class _MiniatureConfig(comfy.supported_models_base.BASE):
    """Stable Diffusion's UNet with velocity prediction; the number of heads is fixed, not their width."""

    unet_extra_config: ClassVar[dict[str, Any]] = {}

    def model_type(self, state_dict: dict[str, Any], prefix: str = "") -> comfy.model_base.ModelType:
        return comfy.model_base.ModelType.V_PREDICTION


def _unet_config(config: dict[str, Any]) -> dict[str, Any]:
    """diffusers' configuration of a UNet in the terms of ComfyUI's ``UNetModel``."""
    channels, layers = config["block_out_channels"], config["layers_per_block"]
    depth = [int(block.startswith("CrossAttn")) for block in config["down_block_types"]]
    return {
        "image_size": config["sample_size"],
        "use_spatial_transformer": True,
        "legacy": False,
        "in_channels": config["in_channels"],
        "out_channels": config["out_channels"],
        "model_channels": channels[0],
        "channel_mult": [width // channels[0] for width in channels],
        "num_res_blocks": [layers] * len(channels),
        "transformer_depth": [value for value in depth for _ in range(layers)],
        "transformer_depth_output": [value for value in depth for _ in range(layers + 1)],
        "transformer_depth_middle": 1,
        "context_dim": config["cross_attention_dim"],
        "num_heads": config["attention_head_dim"],
        "num_head_channels": -1,
        "use_linear_in_transformer": config["use_linear_projection"],
        "use_temporal_attention": False,
        "adm_in_channels": None,
    }


def _latent_format(folder: Path) -> comfy.latent_formats.LatentFormat:
    preview = read_config(folder / LATENT_PREVIEW_FILE)
    latent_format = comfy.latent_formats.LatentFormat()
    latent_format.scale_factor = read_config(folder / "vae" / "config.json")["scaling_factor"]
    latent_format.latent_rgb_factors = preview["factors"]
    latent_format.latent_rgb_factors_bias = preview["bias"]
    return latent_format


def _sampling_settings(folder: Path) -> dict[str, Any]:
    config = read_config(folder / "scheduler" / "scheduler_config.json")
    return {"linear_start": config["beta_start"], "linear_end": config["beta_end"]}


def _load_vae(folder: Path) -> comfy.sd.VAE:
    config = read_config(folder / "vae" / "config.json")
    channels = config["block_out_channels"]
    network = {
        "double_z": True,
        "z_channels": config["latent_channels"],
        "resolution": config["sample_size"],
        "in_channels": config["in_channels"],
        "out_ch": config["out_channels"],
        "ch": channels[0],
        "ch_mult": [width // channels[0] for width in channels],
        "num_res_blocks": config["layers_per_block"],
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    vae = comfy.sd.VAE(
        sd=_weights(folder / "vae" / "diffusion_pytorch_model.safetensors"),
        config={"params": {"ddconfig": network, "embed_dim": config["latent_channels"]}},
    )
    for module in vae.first_stage_model.modules():
        if isinstance(module, nn.GroupNorm):
            module.num_groups = config["norm_num_groups"]  # ComfyUI's autoencoder is built with 32
    return vae


def _load_clip(folder: Path) -> comfy.sd.CLIP:
    text_config = read_config(folder / "text_encoder" / "config.json")
    special = {name: text_config[f"{key}_token_id"] for name, key in (("start", "bos"), ("end", "eos"), ("pad", "pad"))}
    weights = {
        f"{_CLIP_NAME}.transformer.{name}": weight
        for name, weight in _weights(folder / "text_encoder" / "model.safetensors").items()
    }

    clip_model = partial(
        SDClipModel,
        textmodel_json_config=text_config,
        special_tokens=special,
        model_class=_TextModel,
        return_projected_pooled=False,
    )
    tokenizer = partial(
        SDTokenizer,
        tokenizer_path=str(folder / "tokenizer"),
        tokenizer_class=CLIPTokenizer,
        embedding_size=text_config["hidden_size"],
        embedding_key=_CLIP_NAME,
    )
    target = SimpleNamespace(
        params={"clip_model": clip_model}, clip=SD1ClipModel, tokenizer=partial(SD1Tokenizer, tokenizer=tokenizer)
    )
    return comfy.sd.CLIP(target, parameters=comfy.utils.calculate_parameters(weights), state_dict=weights)


class _TextModel(comfy.clip_model.CLIPTextModel):
    """ComfyUI's CLIP text model with a vocabulary of another size than CLIP's own."""

    def __init__(self, config: dict[str, Any], dtype: torch.dtype, device: torch.device, operations: Any) -> None:
        super().__init__(config, dtype, device, operations)
        self.text_model.embeddings.token_embedding = operations.Embedding(
            config["vocab_size"], config["hidden_size"], dtype=dtype, device=device
        )


def _weights(file: Path) -> dict[str, torch.Tensor]:
    return comfy.utils.load_torch_file(str(file), safe_load=True)
