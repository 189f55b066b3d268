"""The same weights, read from ComfyUI's single file, give the same token maps in diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file

from steering_core.backends.diffusers.families import readable_network
from steering_core.backends.diffusers.probe import probe_network
from steering_core.probe import MapRequest

OBJECTS = [(1,), (3, 4)]
#: As the reduced networks of inside/family_models.py, in diffusers' words.
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "SDXL": (
        "UNet2DConditionModel",
        {
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "block_out_channels": (32, 64, 128),
            "cross_attention_dim": 64,
            "attention_head_dim": (2, 4, 8),
            "transformer_layers_per_block": (1, 2, 10),
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
    ),
    "SD 3": (
        "SD3Transformer2DModel",
        {
            "sample_size": 16,
            "num_layers": 4,
            "num_attention_heads": 4,
            "joint_attention_dim": 40,
            "caption_projection_dim": 256,
            "pooled_projection_dim": 24,
            "pos_embed_max_size": 8,
            "dual_attention_layers": (0, 1),
            "qk_norm": "rms_norm",
        },
    ),
    "FLUX.1": (
        "FluxTransformer2DModel",
        {
            "in_channels": 64,
            "num_layers": 2,
            "num_single_layers": 2,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "joint_attention_dim": 40,
            "pooled_projection_dim": 24,
            "guidance_embeds": True,
            "axes_dims_rope": (8, 12, 12),
        },
    ),
    "FLUX.2 dev": (
        "Flux2Transformer2DModel",
        {
            "in_channels": 128,
            "num_layers": 2,
            "num_single_layers": 2,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "joint_attention_dim": 40,
            "mlp_ratio": 2.0,
            "axes_dims_rope": (8, 8, 8, 8),
            "rope_theta": 10000,
        },
    ),
    "Z-Image": (
        "ZImageTransformer2DModel",
        {
            "dim": 1056,
            "n_layers": 2,
            "n_refiner_layers": 1,
            "n_heads": 33,
            "n_kv_heads": 33,
            "cap_feat_dim": 40,
            "axes_dims": [8, 12, 12],
            "axes_lens": [64, 64, 64],
        },
    ),
    "Qwen-Image": (
        "QwenImageTransformer2DModel",
        {
            "num_layers": 4,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "joint_attention_dim": 40,
            "axes_dims_rope": (8, 12, 12),
        },
    ),
    "Krea 2": (
        "Krea2Transformer2DModel",
        {
            "num_layers": 4,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "intermediate_size": 128,
            "timestep_embed_dim": 32,
            "text_hidden_dim": 16,
            "num_text_layers": 3,
            "text_num_attention_heads": 2,
            "text_num_key_value_heads": 2,
            "text_intermediate_size": 128,
            "axes_dims_rope": (8, 12, 12),
        },
    ),
}


def _packed(x: torch.Tensor) -> torch.Tensor:
    """(batch, channels, [frames,] H, W) as tokens of 2 × 2 cells, as the pipelines pack them."""
    batch, channels, height, width = *x.shape[:2], *x.shape[-2:]
    x = x.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(batch, (height // 2) * (width // 2), channels * 4)


def _grid(height: int, width: int) -> torch.Tensor:
    """(frame, y, x) of each token."""
    return torch.cartesian_prod(torch.zeros(1), torch.arange(height).float(), torch.arange(width).float())


def _inputs(name: str, given: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The same input in the words of diffusers' network."""
    x, time, text = given["x"], given["timestep"], given["context"]
    height, width = x.shape[-2:]
    common = {"encoder_hidden_states": text, "timestep": time}
    if name == "SDXL":
        sizes = torch.tensor([[8.0 * height, 8.0 * width, 0.0, 0.0, 8.0 * height, 8.0 * width]]).expand(len(x), -1)
        added = {"text_embeds": given["y"][:, :1280], "time_ids": sizes}
        return {**common, "sample": x, "added_cond_kwargs": added}
    if name == "SD 3":
        return {**common, "hidden_states": x, "pooled_projections": given["y"]}
    if name == "Z-Image":
        return {"x": list(x.unsqueeze(2)), "t": 1 - time, "cap_feats": list(text)}
    if name == "FLUX.2 dev":
        words = torch.cat([torch.zeros(text.shape[1], 3), torch.arange(text.shape[1]).unsqueeze(1)], dim=-1)
        cells = torch.cat([_grid(height, width), torch.zeros(height * width, 1)], dim=-1)
        ids = {"img_ids": cells.expand(len(x), -1, -1), "txt_ids": words.expand(len(x), -1, -1)}
        return {**common, **ids, "hidden_states": x.flatten(2).transpose(1, 2), "guidance": given["guidance"]}
    common["hidden_states"] = _packed(x)
    height, width = height // 2, width // 2
    if name == "FLUX.1":
        ids = {"img_ids": _grid(height, width), "txt_ids": torch.zeros(text.shape[1], 3)}
        return {**common, **ids, "pooled_projections": given["y"], "guidance": given["guidance"]}
    if name == "Qwen-Image":
        return {**common, "img_shapes": [[(1, height, width)]] * len(x)}
    positions = torch.cat([torch.zeros(text.shape[1], 3), _grid(height, width)])
    return {**common, "encoder_hidden_states": text.unflatten(2, (3, 16)), "position_ids": positions}


@pytest.fixture(scope="module")
def shared(comfyui, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    comfyui.run("shared_weights.py", str(folder), *NETWORKS)
    return folder


@pytest.mark.parametrize("name", NETWORKS)
def test_both_read_the_same_maps(shared, name):
    kind, config = NETWORKS[name]
    of = getattr(diffusers, kind)
    of(**config).save_config(shared / name)
    network = of.from_single_file(
        str(shared / f"{name}.safetensors"), config=str(shared), subfolder=name, local_files_only=True
    )
    given = load_file(shared / f"{name} as read.safetensors")
    expected = {key.removeprefix("maps."): value for key, value in given.items() if key.startswith("maps.")}
    layers = [layer.name for layer in readable_network(network).layers]
    assert sorted(layers) == sorted(expected)
    # ComfyUI lengthens FLUX.2's text from the left.
    first = given["context"].shape[1] - 7 if name == "FLUX.2 dev" else 0
    tokens = [tuple(first + index for index in indices) for indices in OBJECTS]
    with torch.no_grad():
        maps = probe_network(network, _inputs(name, given), MapRequest(tokens, layers)).layers
    for layer, value in expected.items():
        assert maps[layer].shape == value.shape
        assert ((maps[layer] - value).norm() / value.norm()).item() <= 1e-3, layer
