"""The research way to steer, for its cost: every layer's whole attention map, and all of the network there and back.

As Learn-to-Steer publishes it: the map takes the place of the fused attention, z - eta·dL/dz, up to 15 refinements in
each step of the first half. It is spared its classifier, in whose place stands the centroid loss that is also measured
in our way, and what autograd would keep for gradients of weights, which nobody asks for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.attending import Attending, attending
from steering_core.backends.diffusers.families import readable_network
from steering_core.backends.diffusers.probe import not_trained
from steering_core.losses import CentroidLoss
from steering_core.networks import Transformer
from steering_core.token_maps import TokenMaps
from steering_core.tokens import GroundedScene

#: In a step, while the loss does not meet its target.
_REFINEMENTS = 15
_ETA = 5.0


def probes(steps: int) -> int:
    """How many refinements a picture takes at most."""
    return _REFINEMENTS * (steps // 2)


def refined(network: nn.Module, inputs: Mapping[str, Any], latent: str, scene: GroundedScene) -> Tensor:
    """The latent of a square picture after one refinement: (1, …).

    Args:
        inputs: of the network's forward, by name.
        latent: name of the latent among them, which may be a list with an item for each picture.
        scene: of one relation.
    """
    listed = isinstance(inputs[latent], list)
    leaf = (torch.stack(inputs[latent]) if listed else inputs[latent]).detach().requires_grad_()
    with torch.enable_grad(), not_trained(list(network.modules())), whole_maps(network) as maps:
        network(**{**inputs, latent: list(leaf) if listed else leaf}, return_dict=False)
        columns = token_maps(network, inputs, maps, scene)
        loss = CentroidLoss()(columns, scene.relations[0], progress=0.0).sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
    return (leaf - _ETA * gradient).detach()


@contextmanager
def whole_maps(network: nn.Module) -> Iterator[Mapping[str, Tensor]]:
    """The maps of all layers of a forward in this context, (1, heads, queries, keys), by the layers' names."""
    watch = _WholeMaps()
    with attending(network, watch):
        yield watch.maps


class _WholeMaps(Attending):
    """Attends by the formula, and keeps the maps."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: dict[str, Tensor] = {}

    def attend(
        self, layer: str, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **unused: Any
    ) -> tuple[Tensor, bool]:
        """See ``Attending``. Of what these networks call it with, the mask alone is no default."""
        logits = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        if attn_mask is not None:
            logits = logits.masked_fill(~attn_mask, -math.inf)
        self.maps[layer] = weights = logits.softmax(dim=-1)
        return weights @ value, True


def token_maps(
    network: nn.Module, inputs: Mapping[str, Any], maps: Mapping[str, Tensor], scene: GroundedScene
) -> TokenMaps:
    """What our way reads without the maps of all queries and keys: of each object the mean over its tokens."""
    readable = readable_network(network)
    queries, text = slice(None), 0
    if isinstance(readable, Transformer):
        spans = readable.family.spans(network, readable.inputs((), inputs), conditioning=0)
        queries, text = slice(spans.image, spans.image + math.prod(spans.size)), spans.text
    layers = {}
    for name, whole in maps.items():
        objects = [whole[..., queries, [text + index for index in tokens]].mean(dim=-1) for tokens in scene.tokens]
        columns = torch.stack(objects, dim=1)
        side = math.isqrt(columns.shape[-1])
        layers[name] = columns.unflatten(-1, (side, side))
    return TokenMaps(layers)
