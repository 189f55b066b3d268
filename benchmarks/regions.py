"""Region-bound attention in the first steps, without a gradient, after Stitch (arXiv 2509.26644).

After the paper, of which its abstract and others' summaries could be read here and its code not: objects have boxes,
and in the first steps a mask in the attention keeps each object in its box, in every layer; then sampling goes on
freely. Our reading, and simpler: the boxes are the halves of the canvas that the relation asks for, not a language
model's; the whole prompt is sampled once, where Stitch samples a prompt for each object and cuts the object out of it
by the maps of chosen heads (Cutout); and the mask takes an object's tokens from image positions outside of its half,
in a joint attention also those positions from the object's tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from benchmarks.areas import Area
from benchmarks.attending import Attending, attending
from benchmarks.calls import Call, Forward, answered
from steering_core.backends.diffusers.families import readable_network
from steering_core.backends.diffusers.pipelines import kind_of
from steering_core.families import Transformer, UNet, latent_size

#: An object's tokens in the text, and where they may be seen.
Region = tuple[Sequence[int], Area]
#: Of a layer's name, its queries and its keys, who sees whom: (queries, keys); none of a call that is not the layer's.
_Allowed = Callable[[str, Tensor, Tensor], Tensor | None]


@contextmanager
def region_bound(pipeline: DiffusionPipeline, regions: Sequence[Region], steps: int) -> Iterator[None]:
    """In this context, for one call of the pipeline, objects are bound to their regions in so many first steps."""
    network = kind_of(pipeline).network_of(pipeline)

    def bound(call: Call, forward: Forward) -> tuple[Tensor]:
        if call.step >= steps or not any(call.prompted):
            return forward(**call.inputs)
        with attending(network, _Masked(_allowed(network, call, regions), call.prompted)):
            return forward(**call.inputs)

    with answered(pipeline, bound):
        yield


def visible(regions: Sequence[Region], size: tuple[int, int], texts: int) -> Tensor:
    """Which text tokens an image position may see.

    Args:
        size: (H, W) of the layer.
        texts: how many text tokens there are.

    Returns:
        (H·W, texts), true where it may.
    """
    seen = torch.ones(*size, texts, dtype=torch.bool)
    for tokens, area in regions:
        inside = torch.zeros(size, dtype=torch.bool)
        inside[area.cells(*size)] = True
        for token in tokens:
            seen[..., token] = inside
    return seen.flatten(0, 1)


def _allowed(network: nn.Module, call: Call, regions: Sequence[Region]) -> _Allowed:
    """Who sees whom in this call of the network."""
    readable = readable_network(network)
    if isinstance(readable, UNet):
        _, height, width = latent_size(call.inputs["sample"])
        levels = {layer.name: layer.level for layer in readable.layers}

        def in_cross_attention(layer: str, query: Tensor, key: Tensor) -> Tensor | None:
            size = height >> levels[layer], width >> levels[layer]
            return visible(regions, size, key.shape[-2])

        return in_cross_attention
    assert isinstance(readable, Transformer)
    texts = call.inputs["encoder_hidden_states"].shape[1]
    spans = readable.family.spans(network, readable.inputs((), call.inputs), conditioning=texts)
    _, height, width = spans.size
    image, text = slice(spans.image, spans.image + height * width), slice(spans.text, spans.text + spans.texts)
    seen = visible(regions, (height, width), spans.texts)
    whole = torch.ones(spans.queries, spans.keys, dtype=torch.bool)
    whole[image, text], whole[text, image] = seen, seen.T

    def in_joint_attention(layer: str, query: Tensor, key: Tensor) -> Tensor | None:
        return None if spans.in_call(query, key) is None else whole

    return in_joint_attention


class _Masked(Attending):
    """Gives the first fitting attention within each layer a mask, where a part of the batch is prompted."""

    def __init__(self, allowed: _Allowed, prompted: Sequence[bool]) -> None:
        super().__init__()
        self._allowed, self._prompted = allowed, prompted

    def attend(
        self, layer: str, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **options: Any
    ) -> tuple[Tensor, bool]:
        """See ``Attending``. The miniatures' networks give no mask of their own."""
        assert attn_mask is None
        allowed = self._allowed(layer, query, key)
        if allowed is not None:
            parts = torch.stack([allowed if is_one else torch.ones_like(allowed) for is_one in self._prompted])
            attn_mask = parts.repeat_interleave(len(query) // len(parts), dim=0)[:, None].to(query.device)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, **options), allowed is not None
