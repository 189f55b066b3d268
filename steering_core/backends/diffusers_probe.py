"""Token maps of a UNet of the diffusers library: a forward that is read, and ends at the last layer wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from ..attention import split_heads
from ..layers import AttentionLayer, MapCollector, ProbeComplete, check_layers, default_layers, halved
from ..token_maps import TokenMaps


def attention_layers(unet: UNet2DConditionModel) -> dict[str, tuple[AttentionLayer, Attention]]:
    """The network's cross-attention by shared name, in running order."""
    levels = len(unet.down_blocks)
    stages = [("down", level, block) for level, block in enumerate(unet.down_blocks)]
    stages += [("mid", levels - 1, unet.mid_block)]
    stages += [("up", levels - 1 - index, block) for index, block in enumerate(unet.up_blocks)]
    found: dict[str, tuple[AttentionLayer, Attention]] = {}
    numbers = {"down": 0, "mid": 0, "up": 0}
    for stage, level, block in stages:
        for name, module in block.named_modules():
            if name.endswith("attn2") and isinstance(module, Attention):
                layer = AttentionLayer(stage, numbers[stage], level, module.heads)
                numbers[stage] += 1
                found[layer.name] = (layer, module)
    return found


def probe_unet(
    unet: UNet2DConditionModel,
    latent: Tensor,
    timestep: Tensor | float,
    context: Tensor,
    tokens: Sequence[Sequence[int]],
    layers: Sequence[str] | None = None,
    **network_inputs: Any,
) -> TokenMaps:
    """Token maps of one forward, which ends at the last layer wanted.

    Whatever is hung on the network runs as it does in sampling: hooks, LoRAs, attention processors. A network that
    was compiled runs uncompiled.

    Args:
        latent: as the network receives it, in its precision, (batch, channels, H, W).
        context: text embeddings, (batch, keys, width).
        tokens: for each object the indices of its tokens.
        layers: names as in ``attention_layers``; ``default_layers`` when not given.
        network_inputs: what else the network's forward takes; as a forward, this may empty lists among them.

    Raises:
        ValueError: a layer is not the network's.
    """
    available = attention_layers(unet)
    described = [layer for layer, _ in available.values()]
    wanted = check_layers(layers or default_layers(described), described)
    collector = MapCollector(wanted, tokens)
    with ExitStack() as until_read:
        for name in wanted:
            layer, attention = available[name]
            reader = _Reader(collector, name, halved(latent.shape[-2:], layer.level))
            until_read.enter_context(attention.register_forward_pre_hook(reader, with_kwargs=True))
        until_read.enter_context(torch.compiler.set_stance("force_eager"))
        until_read.enter_context(_not_trained(unet))
        until_read.enter_context(suppress(ProbeComplete))
        unet(latent, timestep, encoder_hidden_states=context, return_dict=False, **network_inputs)
    return collector.token_maps()


class _Reader:
    """Forward pre-hook of a cross-attention: hands its queries and keys to the collector."""

    def __init__(self, collector: MapCollector, name: str, size: tuple[int, int]) -> None:
        self._collector, self._name, self._size = collector, name, size

    def __call__(self, attention: Attention, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._read(attention, *args, **kwargs)

    def _read(
        self,
        attention: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | tuple[Tensor, list[Tensor]],
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> None:
        # With IP-Adapters the states of their pictures come beside those of the text, and have keys of their own.
        text = encoder_hidden_states[0] if isinstance(encoder_hidden_states, tuple) else encoder_hidden_states
        q, k = _queries_and_keys(attention, hidden_states, text)
        if attention_mask is not None:
            attention_mask = attention.prepare_attention_mask(attention_mask, k.shape[2], len(k)).unflatten(
                0, k.shape[:2]
            )
        self._collector.add(self._name, q, k, self._size, attention_mask)


def _queries_and_keys(attention: Attention, hidden_states: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """As the layer's processor makes them, (batch, heads, length, head_dim) each."""
    # Custom Diffusion trains projections of the processor's own in place of the layer's.
    to_q = getattr(attention.processor, "to_q_custom_diffusion", attention.to_q)
    to_k = getattr(attention.processor, "to_k_custom_diffusion", attention.to_k)
    if attention.group_norm is not None:
        hidden_states = attention.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
    if attention.norm_cross is not None:
        text = attention.norm_encoder_hidden_states(text)
    q, k = split_heads(to_q(hidden_states), attention.heads), split_heads(to_k(text), attention.heads)
    if attention.norm_q is not None:
        q = attention.norm_q(q)
    if attention.norm_k is not None:
        k = attention.norm_k(k)
    return q, k


@contextmanager
def _not_trained(network: nn.Module) -> Iterator[None]:
    """Only the latent's path is kept in this context: no parameter asks for a gradient, no block is run twice.

    Blocks that are checkpointed would run again during the backward pass, when nobody reads them any more.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    checkpointed: list[Any] = [
        module for module in network.modules() if getattr(module, "gradient_checkpointing", False)
    ]
    for parameter in trained:
        parameter.requires_grad_(False)
    for module in checkpointed:
        module.gradient_checkpointing = False
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        for module in checkpointed:
            module.gradient_checkpointing = True
