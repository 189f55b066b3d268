"""A node pack of the tests: reduced networks with random weights, in files of the names that the workflows name.

ComfyUI loads it from custom_nodes, and it writes the files into ComfyUI's folders of models before the server answers.
Each network is what ComfyUI's own loader builds when it is shown the few weights that it tells a model by; of large
weights most rows are zero, and holes in the file, so that all files together take little room.

What a loader fixes cannot be reduced: the width of Z-Image (3840) and Qwen-Image (3072), CLIP in SDXL, and the size of
the language models that encode prompts. For these ComfyUI takes another size from ``model_options`` alone, which its
node Load CLIP leaves empty (``comfy.sd.load_clip``); so Load CLIP has a stand-in too, which sets them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import comfy.sd
import comfy.supported_models
import folder_paths
import numpy as np
import torch
from comfy_api.latest import ComfyExtension, io

import nodes

_WORKFLOWS = Path(__file__).resolve().parents[3] / "example_workflows"
_TYPES = {torch.float8_e4m3fn: "F8_E4M3", torch.float16: "F16"}
#: Weights of more numbers than this are zero but for a few rows in every 256, of which a layer's queries, keys and
#: values have a multiple; few together, since a disk may take long to free a file of many pieces.
_DENSE, _ROWS, _STRIDE = 1 << 16, 4, 256

#: Shapes by names.
Shapes = Mapping[str, tuple[int, ...]]


def _language_model(layers: int, heads: int) -> dict[str, int]:
    return {
        "num_hidden_layers": layers,
        "intermediate_size": 32,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
    }


#: As many layers as are tapped; four heads of Qwen2.5-VL's keys are what ComfyUI tells it by.
OPTIONS = {
    "qwen3_4b_model_config": _language_model(28, 1),
    "qwen25_7b_model_config": _language_model(4, 4),
    "qwen3vl_4b_model_config": _language_model(36, 1),
}


def _blocks(name: str, count: int) -> Shapes:
    return {f"{name}.{number}.": (1,) for number in range(count)}


#: What ComfyUI tells a diffusion model by.
DIFFUSION_MODELS: dict[str, Shapes] = {
    "z_image_turbo_bf16.safetensors": {
        "cap_embedder.1.weight": (3840, 2560),
        "noise_refiner.0.attention.k_norm.weight": (128,),
        "cap_pad_token": (1, 3840),
        **_blocks("layers", 1),
    },
    "qwen_image_fp8_e4m3fn.safetensors": {
        "txt_norm.weight": (3584,),
        "img_in.weight": (3072, 64),
        "proj_out.weight": (64, 3072),
        **_blocks("transformer_blocks", 1),
    },
    "flux-2-klein-base-4b.safetensors": {
        "double_blocks.0.img_attn.norm.key_norm.weight": (128,),
        "double_stream_modulation_img.lin.weight": (6 * 256, 256),
        "img_in.weight": (256, 128),
        "txt_in.weight": (256, 3 * 2560),
        **_blocks("double_blocks", 2),
        **_blocks("single_blocks", 2),
    },
    "krea2_turbo_fp8_scaled.safetensors": {
        "first.weight": (256, 64),
        "blocks.0.attn.wq.weight": (256, 256),
        "blocks.0.attn.wk.weight": (128, 256),
        "txtfusion.projector.weight": (1, 12),
        "txtfusion.layerwise_blocks.0.prenorm.scale": (2560,),
        **_blocks("blocks", 2),
    },
    "rt_detr_v4-x-hgnet_fp16.safetensors": {"encoder.pan_blocks.1.cv4.conv.weight": (256, 768, 1, 1)},
}
#: What ComfyUI tells a text encoder by, and the kind that Load CLIP is set to.
TEXT_ENCODERS: dict[str, tuple[str, Shapes]] = {
    "qwen_3_4b.safetensors": (
        "flux2",
        {
            "model.layers.0.post_attention_layernorm.weight": (2560,),
            "model.layers.0.self_attn.q_norm.weight": (128,),
        },
    ),
    "qwen_2.5_vl_7b_fp8_scaled.safetensors": ("qwen_image", {"model.layers.0.self_attn.k_proj.bias": (512,)}),
    "qwen3vl_4b_fp8_scaled.safetensors": (
        "krea2",
        {
            "model.visual.deepstack_merger_list.0.norm.weight": (4096,),
            "model.visual.merger.linear_fc2.weight": (2560, 4096),
        },
    ),
}
#: What ComfyUI tells an autoencoder by, and how narrow its decoder is, or all of it.
_VAE = {"decoder.up.3.upsample.conv.weight": (128, 128, 3, 3)}
VAES: dict[str, Shapes] = {
    "ae.safetensors": {**_VAE, "decoder.conv_in.weight": (128, 16, 3, 3)},
    "flux2-vae.safetensors": {
        **_VAE,
        "decoder.conv_in.weight": (128, 32, 3, 3),
        "post_quant_conv.weight": (32, 32, 1, 1),
        "bn.running_mean": (128,),
    },
    "qwen_image_vae.safetensors": {
        "decoder.middle.0.residual.0.gamma": (128, 1, 1, 1),
        "decoder.head.0.gamma": (32, 1, 1, 1),
        "encoder.conv1.weight": (32, 3, 3, 3, 3),
        "decoder.head.2.weight": (3, 32, 3, 3, 3),
    },
}

_UNET = {"image_size": 32, "in_channels": 4, "out_channels": 4, "use_spatial_transformer": True, "legacy": False}
#: Classes of ComfyUI's that describe a checkpoint, and their UNets; of these ComfyUI asks for the first channels, the
#: width of the text and, of SDXL, the depth of the encoder's transformers.
CHECKPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "v1-5-pruned-emaonly-fp16.safetensors": (
        "SD15",
        {
            **_UNET,
            "model_channels": 320,
            "context_dim": 768,
            "num_res_blocks": [1, 1, 1],
            "channel_mult": [1, 1, 1],
            "transformer_depth": [1, 1, 1],
            "transformer_depth_middle": 1,
            "transformer_depth_output": [1, 1, 1, 1, 1, 1],
            "use_linear_in_transformer": False,
        },
    ),
    "sd_xl_base_1.0.safetensors": (
        "SDXL",
        {
            **_UNET,
            "model_channels": 320,
            "context_dim": 2048,
            "num_classes": "sequential",
            "adm_in_channels": 2816,
            "num_res_blocks": [2, 2, 2],
            "channel_mult": [1, 1, 1],
            "transformer_depth": [0, 0, 2, 2, 10, 10],
            "transformer_depth_middle": 1,
            "transformer_depth_output": [0, 0, 0, 1, 1, 1, 1, 1, 1],
            "use_linear_in_transformer": True,
        },
    ),
    "sd_xl_refiner_1.0.safetensors": (
        "SDXLRefiner",
        {
            **_UNET,
            "model_channels": 384,
            "context_dim": 1280,
            "num_classes": "sequential",
            "adm_in_channels": 2560,
            "num_res_blocks": [2, 2, 2, 2],
            "channel_mult": [1, 1, 1, 1],
            "transformer_depth": [0, 0, 4, 4, 4, 4, 0, 0],
            "transformer_depth_middle": 1,
            "transformer_depth_output": [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0],
            "use_linear_in_transformer": True,
        },
    ),
}
_CHECKPOINT_VAE = {
    **_VAE,
    "decoder.conv_in.weight": (128, 4, 3, 3),
    "post_quant_conv.weight": (4, 4, 1, 1),
}


def write_stand_ins() -> None:
    """Write all files into ComfyUI's folders of models."""
    for name, told_by in DIFFUSION_MODELS.items():
        network = comfy.sd.load_diffusion_model_state_dict(_zeros(told_by)).model.diffusion_model
        _write("diffusion_models", name, _shapes(network.state_dict()), torch.float8_e4m3fn)
    for name, (kind, told_by) in TEXT_ENCODERS.items():
        clip = comfy.sd.load_text_encoder_state_dicts(
            [_zeros(told_by)], clip_type=comfy.sd.CLIPType[kind.upper()], model_options=OPTIONS
        )
        (encoder,) = (module for module in clip.cond_stage_model.children() if hasattr(module, "transformer"))
        # No prompt of theirs holds a picture, so the part that sees is left out, but for what it is told by.
        language = {key: value for key, value in encoder.transformer.state_dict().items() if key.startswith("model.")}
        shapes = {**_shapes(language), **told_by}
        _write("text_encoders", name, shapes, torch.float16, _words(clip))
    for name, told_by in VAES.items():
        _write("vae", name, _shapes(comfy.sd.VAE(sd=_zeros(told_by)).get_sd()), torch.float16)
    for name, (kind, unet) in CHECKPOINTS.items():
        config = getattr(comfy.supported_models, kind)(dict(unet))
        config.set_inference_dtype(torch.float16, None)
        nowhere = torch.device("meta")
        network = config.get_model({}, device=nowhere)
        clip = comfy.sd.CLIP(config.clip_target({}), model_options={"initial_device": nowhere})
        vae = {key: value.to(nowhere) for key, value in comfy.sd.VAE(sd=_zeros(_CHECKPOINT_VAE)).get_sd().items()}
        whole = network.state_dict_for_saving(network.diffusion_model.state_dict(), clip.get_sd(), vae)
        _write("checkpoints", name, _shapes(whole), torch.float16, _words(clip))


def _zeros(shapes: Shapes) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def _shapes(weights: Mapping[str, torch.Tensor]) -> Shapes:
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def _words(clip: comfy.sd.CLIP) -> list[int]:
    """The tokens of all texts that stand in the workflows."""
    texts = {""}
    for file in _WORKFLOWS.glob("*.json"):
        for node in json.loads(file.read_text(encoding="utf-8"))["nodes"]:
            if node["type"] in ("SpatialSteeringRelationParser", "CLIPTextEncode", "PrimitiveStringMultiline"):
                texts.add(node["widgets_values"][0])
    chunks = [chunk for text in texts for told in clip.tokenize(text).values() for chunk in told]
    return sorted({token for chunk in chunks for token, _ in chunk})


def _write(folder: str, name: str, shapes: Shapes, dtype: torch.dtype, words: Sequence[int] = ()) -> None:
    """A file of safetensors with random weights.

    Args:
        words: rows of the tables of tokens that are not zero.
    """
    header, end = {}, 0
    shapes = dict(sorted(shapes.items(), key=lambda one: prod(one[1])))  # those without holes stand together
    for key, shape in shapes.items():
        begin, end = end, end + prod(shape) * dtype.itemsize
        header[key] = {"dtype": _TYPES[dtype], "shape": shape, "data_offsets": (begin, end)}
    told = json.dumps(header).encode()
    path = Path(folder_paths.models_dir, folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(len(told))
    drawn = random.standard_normal(2 * _DENSE, dtype=np.float32)
    with path.open("wb") as file:
        file.truncate(8 + len(told) + end)
        file.write(struct.pack("<Q", len(told)) + told)
        for key, shape in shapes.items():
            length = prod(shape[1:])
            rows = range(shape[0] if shape else 1)
            if prod(shape) > _DENSE:
                rows = [row for row in rows if row % _STRIDE < _ROWS]
            if key.endswith(("embed_tokens.weight", "token_embedding.weight")):
                rows = words
            start = random.integers(_DENSE)
            values = np.resize(drawn[start : start + len(rows) * length], (len(rows), length))
            values = 1 + 0.1 * values if _is_scale(key, shape) else values * _fan_in(shape) ** -0.5
            stored = torch.from_numpy(values).to(dtype).view(torch.uint8).numpy()
            begin = 8 + len(told) + header[key]["data_offsets"][0]
            for row, numbers in [(0, stored)] if stored.nbytes == prod(shape) * dtype.itemsize else zip(rows, stored):
                file.seek(begin + row * length * dtype.itemsize)
                file.write(numbers.tobytes())


def _is_scale(key: str, shape: tuple[int, ...]) -> bool:
    return key.endswith(("running_var", "scale", "gamma")) or (len(shape) == 1 and "norm" in key and "bias" not in key)


def _fan_in(shape: tuple[int, ...]) -> int:
    return prod(shape[1:]) if len(shape) > 1 else 100


class StandInCLIPLoader(io.ComfyNode):
    """Load CLIP for the reduced text encoders."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The inputs and the output of Load CLIP."""
        told = nodes.CLIPLoader.INPUT_TYPES()["required"]
        return io.Schema(
            node_id="StandInCLIPLoader",
            category="tests",
            inputs=[
                io.Combo.Input("clip_name", options=folder_paths.get_filename_list("text_encoders")),
                io.Combo.Input("type", options=told["type"][0]),
                io.Combo.Input("device", options=["default"]),
            ],
            outputs=[io.Clip.Output()],
        )

    @classmethod
    def execute(cls, clip_name: str, type: str, device: str) -> io.NodeOutput:
        """Load the file, and say its size beside."""
        path = folder_paths.get_full_path_or_raise("text_encoders", clip_name)
        return io.NodeOutput(
            comfy.sd.load_clip([path], clip_type=comfy.sd.CLIPType[type.upper()], model_options=OPTIONS)
        )


class StandIns(ComfyExtension):
    """What ComfyUI asks a pack for."""

    async def on_load(self) -> None:
        """Before the server answers."""
        write_stand_ins()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The loader alone."""
        return [StandInCLIPLoader]


async def comfy_entrypoint() -> StandIns:
    """See ``StandIns``."""
    return StandIns()
