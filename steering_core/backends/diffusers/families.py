"""Networks of the diffusers library that can be steered: UNets of cross-attention, and a row for each transformer.

A row names classes, so that no version has to have them all. What the rows say was read in diffusers 0.42.1 and is
held against it by tests/unit/test_diffusers_families.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention, FusedAttnProcessor2_0
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from ...attention_calls import Projections
from ...families import IMAGE, REFERENCES, TEXT, Blocks, Family, NetworkInputs, family_of, latent_size
from ...layers import AttentionLayer
from ...networks import ReadableNetwork, Transformer, UNet, uncompiled

#: Side of a token in cells of the latent, where a pipeline hands the network tokens in place of cells.
_PACKED = 2


def _of_a_latent(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NetworkInputs:
    return NetworkInputs(latent_size(kwargs["hidden_states"]), kwargs["encoder_hidden_states"].shape[1])


def _of_cells(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NetworkInputs:
    """FLUX.2: every cell of its latent is a token, with ids (frame, y, x, layer)."""
    return NetworkInputs(_size_of_ids(kwargs["img_ids"]), kwargs["encoder_hidden_states"].shape[1])


def _of_packed_ids(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NetworkInputs:
    """FLUX.1: tokens with ids (frame, y, x)."""
    return _packed(_size_of_ids(kwargs["img_ids"]), kwargs)


def _of_positions(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NetworkInputs:
    """Krea 2: ids (frame, y, x) of the text and then of the image."""
    return _packed(_size_of_ids(kwargs["position_ids"][kwargs["encoder_hidden_states"].shape[1] :]), kwargs)


def _of_shapes(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NetworkInputs:
    """Qwen-Image: (frames, H, W) in tokens, for each picture of a batch of the image and of its references."""
    first = kwargs["img_shapes"][0]
    return _packed(tuple(first[0] if isinstance(first, list) else first), kwargs)


def _of_lists(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NetworkInputs:
    """Z-Image: latents (channels, frames, H, W) and texts (tokens, width), one for each picture."""
    return NetworkInputs(tuple(kwargs["x"][0].shape[1:]), len(kwargs["cap_feats"][0]))


def _packed(size: tuple[int, int, int], kwargs: Mapping[str, Any]) -> NetworkInputs:
    frames, height, width = size
    return NetworkInputs((frames, _PACKED * height, _PACKED * width), kwargs["encoder_hidden_states"].shape[1])


def _size_of_ids(ids: Tensor) -> tuple[int, int, int]:
    """(frames, H, W) of the image among tokens with ids (…, frame, y, x …); references have other frames."""
    places = ids.reshape(-1, ids.shape[-1])[:, :3]
    last = torch.where(places[:, :1] == 0, places[:, 1:], -1).amax(dim=0)
    y, x = last.tolist()  # read back at once: each number by itself would wait for the device
    return 1, int(y) + 1, int(x) + 1


_DOUBLE_AND_SINGLE = (
    Blocks("double", "transformer_blocks", heads="attn.heads"),
    Blocks("single", "single_transformer_blocks", heads="attn.heads"),
)
_WITH_REFERENCES = (TEXT, IMAGE, REFERENCES)

FAMILIES = (
    Family(
        "SD 3, SD 3.5",
        ("SD3Transformer2DModel",),
        (Blocks("block", "transformer_blocks", heads="attn.heads"),),
        patch="config.patch_size",
        order=(IMAGE, TEXT),
    ),
    Family(
        "FLUX.1, Kontext, Krea",
        ("FluxTransformer2DModel",),
        _DOUBLE_AND_SINGLE,
        patch=_PACKED,
        order=_WITH_REFERENCES,
        inputs=_of_packed_ids,
    ),
    Family(
        "FLUX.2",
        ("Flux2Transformer2DModel",),
        _DOUBLE_AND_SINGLE,
        patch=1,
        order=_WITH_REFERENCES,
        inputs=_of_cells,
    ),
    Family(
        "Z-Image",
        ("ZImageTransformer2DModel",),
        (Blocks("block", "layers", heads="attention.heads"),),
        patch="config.all_patch_size",
        order=(IMAGE, TEXT),
        multiple=32,
        inputs=_of_lists,
    ),
    Family(
        "Qwen-Image",
        ("QwenImageTransformer2DModel",),
        (Blocks("block", "transformer_blocks", heads="attn.heads"),),
        patch=_PACKED,
        order=_WITH_REFERENCES,
        inputs=_of_shapes,
    ),
    Family(
        "Krea 2",
        ("Krea2Transformer2DModel",),
        (Blocks("block", "transformer_blocks", heads="attn.num_heads"),),
        patch=_PACKED,
        inputs=_of_positions,
    ),
)


def readable_network(network: nn.Module) -> ReadableNetwork:
    """A network as steering reads it.

    Raises:
        ValueError: no row describes it.
    """
    network = uncompiled(network)
    if isinstance(network, UNet2DConditionModel):
        return unet_of(network)
    family = family_of(network, FAMILIES, attrgetter("__name__"))
    if family is None:
        kinds = ", ".join(("SD 1, SD 2, SDXL", *(family.name for family in FAMILIES)))
        raise ValueError(
            f"How {type(network).__name__} attends to the prompt is not known here, so it cannot be steered. Use a "
            f"network of one of these kinds: {kinds}. A new kind takes a row in "
            f"steering_core/backends/diffusers/families.py (docs/models.md)."
        )
    return Transformer.of(network, family, _of_a_latent)


def unet_of(unet: UNet2DConditionModel) -> UNet:
    """A UNet with its cross-attention, in running order."""
    levels = len(unet.down_blocks)
    stages = [("down", level, block) for level, block in enumerate(unet.down_blocks)]
    stages += [("mid", levels - 1, unet.mid_block)]
    stages += [("up", levels - 1 - index, block) for index, block in enumerate(unet.up_blocks)]
    layers, projections = [], {}
    blocks: dict[nn.Module, int] = {}
    numbers = {"down": 0, "mid": 0, "up": 0}
    for stage, level, block in stages:
        blocks |= {part: level for part in block.modules() if isinstance(part, (ResnetBlock2D, BasicTransformerBlock))}
        for transformer in (module for module in block.modules() if isinstance(module, Transformer2DModel)):
            for part in transformer.transformer_blocks:
                layer = AttentionLayer(stage, numbers[stage], level, part.attn2.heads)
                numbers[stage] += 1
                layers.append(layer)
                projections[layer.name] = _projections(transformer, part.attn2)
    return UNet(tuple(layers), projections, blocks)


def _projections(transformer: Transformer2DModel, attention: Attention) -> Projections:
    # Custom Diffusion trains projections of the processor's own in place of the layer's.
    to_q = getattr(attention.processor, "to_q_custom_diffusion", attention.to_q)
    to_k = getattr(attention.processor, "to_k_custom_diffusion", attention.to_k)
    if isinstance(attention.processor, FusedAttnProcessor2_0):  # what was fused once is said to be ever after
        to_k = attention.to_kv
    return Projections(
        image=transformer,
        attention=attention,
        q=attention.norm_q or to_q,
        k=attention.norm_k or to_k,
        heads=attention.heads,
        bias=lambda inputs: _bias(attention, inputs),
    )


def _bias(attention: Attention, inputs: Mapping[str, Any]) -> Tensor | None:
    """A mask of the text, (batch, heads, 1, keys)."""
    mask = inputs.get("attention_mask")
    if mask is None:
        return None
    batch, length = len(mask), mask.shape[-1]
    return attention.prepare_attention_mask(mask, length, batch).unflatten(0, (batch, attention.heads))
