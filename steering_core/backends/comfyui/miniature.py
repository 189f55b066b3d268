"""The shipped miniatures as ComfyUI's ordinary MODEL, CLIP and VAE.

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
import comfy.model_detection
import comfy.model_management
import comfy.sd
import comfy.supported_models
import comfy.supported_models_base
import comfy.text_encoders.flux
import comfy.text_encoders.t5
import comfy.utils
import torch
from comfy.model_patcher import CoreModelPatcher, ModelPatcher
from comfy.sd1_clip import SD1ClipModel, SD1Tokenizer, SDClipModel, SDTokenizer
from torch import nn
from transformers import CLIPTokenizer, T5TokenizerFast

from ...miniature.folder import LATENT_PREVIEW_FILE, read_config

_CLIP_NAME, _T5_NAME = "clip_l", "t5xxl"


def load_miniature(folder: Path) -> tuple[ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """Load the pipeline folder of a miniature, of Stable Diffusion's or of FLUX's shape.

    Raises:
        FileNotFoundError: a file of the pipeline is missing; the message names it.
    """
    if "transformer" in read_config(folder / "model_index.json"):
        return _load_transformer(folder), _load_both_encoders(folder), _load_vae(folder)
    return _load_unet(folder), _load_clip(folder), _load_vae(folder)


def is_miniature(model: ModelPatcher) -> bool:
    """Whether a MODEL is a miniature, with whatever patches."""
    network = model.model
    return isinstance(network, comfy.model_base.BaseModel) and isinstance(
        network.model_config, (_UNetConfig, _TransformerConfig)
    )


def _load_unet(folder: Path) -> ModelPatcher:
    config = read_config(folder / "unet" / "config.json")
    weights = _weights(folder / "unet" / "diffusion_pytorch_model.safetensors")
    model_config = _UNetConfig(_unet_config(config))
    model_config.sampling_settings = _sampling_settings(folder)
    keys = comfy.utils.unet_to_diffusers(model_config.unet_config)
    return _model(folder, model_config, {keys[name]: weight for name, weight in weights.items()})


def _load_transformer(folder: Path) -> ModelPatcher:
    config = read_config(folder / "transformer" / "config.json")
    weights = _weights(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    model_config = _TransformerConfig(_transformer_config(config))
    return _model(folder, model_config, comfy.model_detection.convert_diffusers_mmdit(weights))


def _model(
    folder: Path, model_config: comfy.supported_models_base.BASE, weights: dict[str, torch.Tensor]
) -> ModelPatcher:
    """The model of a configuration, with weights by ComfyUI's names."""
    model_config.latent_format = _latent_format(folder)
    load_device = comfy.model_management.get_torch_device()
    dtype = comfy.model_management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(weights),
        supported_dtypes=model_config.supported_inference_dtypes,
        weight_dtype=comfy.utils.weight_dtype(weights),
    )
    cast = comfy.model_management.unet_manual_cast(dtype, load_device, model_config.supported_inference_dtypes)
    model_config.set_inference_dtype(dtype, cast, device=load_device)
    model = model_config.get_model({})
    model.load_model_weights(weights)
    return CoreModelPatcher(model, load_device, comfy.model_management.unet_offload_device())


class _UNetConfig(comfy.supported_models_base.BASE):
    """Stable Diffusion's UNet with velocity prediction; the number of heads is fixed, not their width."""

    unet_extra_config: ClassVar[dict[str, Any]] = {}

    def model_type(self, state_dict: dict[str, Any], prefix: str = "") -> comfy.model_base.ModelType:
        return comfy.model_base.ModelType.V_PREDICTION


class _TransformerConfig(comfy.supported_models.FluxSchnell):
    """FLUX's transformer without guidance embedding, whose sigmas are not shifted."""


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


def _transformer_config(config: dict[str, Any]) -> dict[str, Any]:
    """diffusers' configuration of a transformer in the terms of ComfyUI's ``Flux``."""
    patch, heads = 2, config["num_attention_heads"]  # FLUX packs 2×2 positions of the latent, whatever its channels
    return {
        "image_model": "flux",
        "in_channels": config["in_channels"] // patch**2,
        "out_channels": config["in_channels"] // patch**2,
        "patch_size": patch,
        "vec_in_dim": config["pooled_projection_dim"],
        "context_in_dim": config["joint_attention_dim"],
        "hidden_size": heads * config["attention_head_dim"],
        "mlp_ratio": 4.0,
        "num_heads": heads,
        "depth": config["num_layers"],
        "depth_single_blocks": config["num_single_layers"],
        "axes_dim": config["axes_dims_rope"],
        "theta": 10000,
        "qkv_bias": True,
        "guidance_embed": config["guidance_embeds"],
        "txt_ids_dims": [],
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
    weights = _encoder_weights(folder / "text_encoder", _CLIP_NAME)
    target = SimpleNamespace(
        params={"clip_model": _clip_model(folder)},
        clip=SD1ClipModel,
        tokenizer=partial(SD1Tokenizer, tokenizer=partial(_clip_tokenizer, folder)),
    )
    return comfy.sd.CLIP(target, parameters=comfy.utils.calculate_parameters(weights), state_dict=weights)


def _load_both_encoders(folder: Path) -> comfy.sd.CLIP:
    weights = _encoder_weights(folder / "text_encoder", _CLIP_NAME)
    weights |= _encoder_weights(folder / "text_encoder_2", _T5_NAME)
    target = SimpleNamespace(
        params={"folder": folder}, clip=_BothEncoders, tokenizer=partial(_BothTokenizers, folder=folder)
    )
    return comfy.sd.CLIP(target, parameters=comfy.utils.calculate_parameters(weights), state_dict=weights)


def _clip_model(folder: Path) -> partial[SDClipModel]:
    config = read_config(folder / "text_encoder" / "config.json")
    special = {name: config[f"{key}_token_id"] for name, key in (("start", "bos"), ("end", "eos"), ("pad", "pad"))}
    return partial(
        SDClipModel,
        textmodel_json_config=config,
        special_tokens=special,
        model_class=_TextModel,
        return_projected_pooled=False,
    )


def _clip_tokenizer(folder: Path, **options: Any) -> SDTokenizer:
    return SDTokenizer(
        tokenizer_path=str(folder / "tokenizer"),
        tokenizer_class=CLIPTokenizer,
        embedding_size=read_config(folder / "text_encoder" / "config.json")["hidden_size"],
        embedding_key=_CLIP_NAME,
        **options,
    )


def _encoder_weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return {f"{name}.transformer.{key}": weight for key, weight in _weights(folder / "model.safetensors").items()}


class _BothEncoders(comfy.text_encoders.flux.FluxClipModel):
    """FLUX's encoders, CLIP's pooled vector and T5's tokens, at the sizes of a folder."""

    def __init__(self, folder: Path, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
        nn.Module.__init__(self)  # FLUX's own would build encoders of the full size
        options: dict[str, Any] = {"device": device, "dtype": dtype, "model_options": model_options or {}}
        config = read_config(folder / "text_encoder_2" / "config.json")
        self.clip_l = _clip_model(folder)(**options)
        self.t5xxl = SDClipModel(
            # What transformers calls gelu_new.
            textmodel_json_config={**config, "dense_act_fn": "gelu_pytorch_tanh"},
            special_tokens={"end": config["eos_token_id"], "pad": config["pad_token_id"]},
            model_class=comfy.text_encoders.t5.T5,
            **options,
        )
        self.dtypes = {dtype}


class _BothTokenizers(comfy.text_encoders.flux.FluxTokenizer):
    """FLUX's tokenizers, with the vocabularies of a folder."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.clip_l = _clip_tokenizer(folder, **options)
        self.t5xxl = SDTokenizer(
            tokenizer_path=str(folder / "tokenizer_2"),
            tokenizer_class=T5TokenizerFast,
            embedding_size=read_config(folder / "text_encoder_2" / "config.json")["d_model"],
            embedding_key=_T5_NAME,
            has_start_token=False,
            pad_with_end=False,
            pad_to_max_length=False,
            max_length=99999999,
            min_length=read_config(folder / "tokenizer_2" / "tokenizer_config.json")["model_max_length"],
            **options,
        )


class _TextModel(comfy.clip_model.CLIPTextModel):
    """ComfyUI's CLIP text model with a vocabulary of another size than CLIP's own."""

    def __init__(self, config: dict[str, Any], dtype: torch.dtype, device: torch.device, operations: Any) -> None:
        super().__init__(config, dtype, device, operations)
        self.text_model.embeddings.token_embedding = operations.Embedding(
            config["vocab_size"], config["hidden_size"], dtype=dtype, device=device
        )


def _weights(file: Path) -> dict[str, torch.Tensor]:
    return comfy.utils.load_torch_file(str(file), safe_load=True)
