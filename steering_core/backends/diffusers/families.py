"""Networks of the diffusers library that can be steered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from ...families import ReadableNetwork, UNet, uncompiled
from ...layers import AttentionLayer
from ...probe import Projections


def readable_network(network: nn.Module) -> ReadableNetwork:
    """A network as steering reads it.

    Raises:
        ValueError: it is of a kind whose attention is not known.
    """
    network = uncompiled(network)
    if isinstance(network, UNet2DConditionModel):
        return unet_of(network)
    raise ValueError(f"How {type(network).__name__} attends to the prompt is not known here, so it cannot be steered.")


def unet_of(unet: UNet2DConditionModel) -> UNet:
    """A UNet with its cross-attention, in running order."""
    levels = len(unet.down_blocks)
    stages = [("down", level, block) for level, block in enumerate(unet.down_blocks)]
    stages += [("mid", levels - 1, unet.mid_block)]
    stages += [("up", levels - 1 - index, block) for index, block in enumerate(unet.up_blocks)]
    layers, projections = [], {}
    numbers = {"down": 0, "mid": 0, "up": 0}
    for stage, level, block in stages:
        for transformer in (module for module in block.modules() if isinstance(module, Transformer2DModel)):
            for part in transformer.transformer_blocks:
                layer = AttentionLayer(stage, numbers[stage], level, part.attn2.heads)
                numbers[stage] += 1
                layers.append(layer)
                projections[layer.name] = _projections(transformer, part.attn2)
    return UNet(tuple(layers), projections)


def _projections(transformer: Transformer2DModel, attention: Attention) -> Projections:
    # Custom Diffusion trains projections of the processor's own in place of the layer's.
    to_q = getattr(attention.processor, "to_q_custom_diffusion", attention.to_q)
    to_k = getattr(attention.processor, "to_k_custom_diffusion", attention.to_k)
    return Projections(
        image=transformer,
        attention=attention,
        q=attention.norm_q or to_q,
        k=attention.norm_k or (attention.to_kv if attention.fused_projections else to_k),
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
