"""The reader of token maps: it gathers them while a network's forward runs, and leaves early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .attention import logit_variance, split_heads, standardised_queries, token_columns
from .attention_calls import CallWatch, Projections, Reading, SeenSize, as_bias
from .care import end_gradients
from .layers import AttentionLayer, check_layers, default_layers
from .token_maps import TokenMaps


class ProbeComplete(Exception):
    """Raised inside a forward once the last wanted layer has been read, so that no later one runs."""


@dataclass(frozen=True)
class MapRequest:
    """What a probe is to read.

    Attributes:
        tokens: for each object the indices of its tokens in the conditioning.
        layers: names of the wanted layers, in running order; the network's ``default_layers`` when none is named.
        over_all_keys: the softmax runs over all keys of a joint attention, not over those of the text alone.
        objects: how many of them, from the first on, are objects; the rest are single words.
        standardised: names of the layers of which the objects' maps are read of standardised logits too.
        follows_own: a gradient passes through the maps of the network's own logits; else they are only told of, and
            keep nothing for it.
    """

    tokens: Sequence[Sequence[int]]
    layers: Sequence[str] = ()
    over_all_keys: bool = False
    objects: int = 0
    standardised: Sequence[str] = ()
    follows_own: bool = True

    def from_token(self, first: int) -> MapRequest:
        """The same where other tokens stand before those of the prompt."""
        return replace(self, tokens=[[first + index for index in indices] for indices in self.tokens])

    def of(self, network: Sequence[AttentionLayer]) -> MapRequest:
        """The same with its layers found among a network's.

        Raises:
            ValueError: the network lacks one.
        """
        return replace(self, layers=check_layers(self.layers or default_layers(network), network))


class MapCollector:
    """Gathers token maps while a forward runs.

    Args:
        request: what to read, with its layers named.
        goes_on: after the last layer the forward goes on without gradients; else it is ended there.

    Attributes:
        maps: of the layers that were read so far, by the layer's name and whether they are standardised.
    """

    def __init__(self, request: MapRequest, goes_on: bool = False) -> None:
        self.request = request
        self._goes_on = goes_on
        self.maps: dict[tuple[str, bool], Tensor] = {}
        self._variances: dict[str, Tensor] = {}

    def add(
        self,
        name: str,
        q: Tensor,
        k: Tensor,
        size: Sequence[int],
        bias: Tensor | None = None,
        scale: float | None = None,
        first: int = 0,
    ) -> None:
        """Read one layer.

        Args:
            name: the layer's name, one of those wanted.
            q: of the image alone, (batch, heads, frames·H·W, head_dim).
            k: (batch, heads, keys, head_dim).
            size: the layer's (frames, H, W) or (H, W); of several frames the map is the mean.
            bias: what the layer adds to its logits; see ``token_columns``.
            scale: of the layer's logits; see ``token_columns``.
            first: where the conditioning begins among the keys.

        Raises:
            ProbeComplete: it was the last one wanted, and the forward is to end.
        """
        tokens = self.request.from_token(first).tokens
        q, k = q.float(), k.float()  # once, for all that is read of them
        own_q, own_k = (q, k) if self.request.follows_own else (q.detach(), k.detach())
        self.maps[name, False] = _of_positions(token_columns(own_q, own_k, tokens, bias, scale), size)
        if name in self.request.standardised:
            objects = tokens[: self.request.objects]
            variance = logit_variance(q, k, objects, bias, scale)
            q = standardised_queries(q, [*self._variances_before(name), variance])
            # Later layers take it as it is: a block that is run again by itself has no way back to this one.
            self._variances[name] = variance.detach()
            self.maps[name, True] = _of_positions(token_columns(q, k, objects, bias, scale), size)
        if name == self.request.layers[-1]:
            if not self._goes_on:
                raise ProbeComplete
            end_gradients()

    def _variances_before(self, name: str) -> list[Tensor]:
        """Of the layers before this one; where it is run again, those after it have theirs already."""
        layers = self.request.layers
        return [self._variances[one] for one in layers[: layers.index(name)] if one in self._variances]

    def token_maps(self) -> TokenMaps:
        """What was gathered, in running order.

        Raises:
            RuntimeError: the forward did not come to all of the layers.
        """
        if unread := [name for name in self.request.layers if (name, False) not in self.maps]:
            raise RuntimeError(
                f"the model did not run its attention layers {', '.join(unread)} as it does by itself: another patch "
                f"has replaced them, or a condition has brought tokens that steering does not know"
            )
        layers, standardised = (
            {name: self.maps[name, kind] for name in self.request.layers if (name, kind) in self.maps}
            for kind in (False, True)
        )
        return TokenMaps(layers, standardised=standardised or None)


def _of_positions(columns: Tensor, size: Sequence[int]) -> Tensor:
    """Columns as maps (…, H, W), the mean over frames if there are any."""
    maps = columns.unflatten(-1, tuple(size))
    return maps if len(size) == 2 else maps.mean(dim=-3)


def reading_projections(layers: Mapping[str, Projections], collector: MapCollector) -> Reading:
    """Within this context, a forward of the network shows its queries and keys to the collector."""
    readers = [_ProjectionReader(name, layer, collector) for name, layer in layers.items()]

    def hook(hooks: ExitStack) -> None:
        for reader, layer in zip(readers, layers.values()):
            hooks.enter_context(layer.image.register_forward_pre_hook(reader.see_image))
            hooks.enter_context(layer.attention.register_forward_pre_hook(reader.see_inputs, with_kwargs=True))
            hooks.enter_context(layer.q.register_forward_hook(reader.see_queries))
            hooks.enter_context(layer.k.register_forward_hook(reader.see_keys))

    return Reading(hook)


class _ProjectionReader(SeenSize):
    """Hooks of one layer."""

    def __init__(self, name: str, layer: Projections, collector: MapCollector) -> None:
        self._name, self._layer, self._collector = name, layer, collector
        self._bias: Tensor | None = None
        self._q: Tensor | None = None

    def see_inputs(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._bias = self._layer.bias(kwargs)

    def see_queries(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        self._q = output

    def see_keys(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        assert self._q is not None
        k = output[..., : self._q.shape[-1]]
        self._collector.add(self._name, self._with_heads(self._q), self._with_heads(k), self.size, self._bias)

    def _with_heads(self, x: Tensor) -> Tensor:
        return x if x.dim() == 4 else split_heads(x, self._layer.heads)


class CallReader(CallWatch):
    """Shows the layers' queries and keys to the collector; what is computed stays as it is."""

    def __init__(self, collector: MapCollector) -> None:
        super().__init__()
        self._collector = collector

    def attend(self, *args: Any, **kwargs: Any) -> Tensor:
        """See ``CallWatch``."""
        self._read(*args, **kwargs)
        return F.scaled_dot_product_attention(*args, **kwargs)

    def _read(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        own = self._own(query, key)
        if own is None:
            return
        layer, spans = own
        frames, height, width = spans.size
        image = slice(spans.image, spans.image + frames * height * width)
        text, first = slice(spans.text, spans.text + spans.texts), spans.first
        if self._collector.request.over_all_keys:
            text, first = slice(None), spans.text + spans.first
        if key.shape[1] < query.shape[1]:  # several heads of queries share one of keys
            key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        bias = None if attn_mask is None else as_bias(attn_mask)[..., text]
        if bias is not None and bias.shape[-2] > 1:
            bias = bias[..., image, :]
        size = spans.size if frames > 1 else (height, width)
        self._collector.add(layer, query[..., image, :], key[..., text, :], size, bias, scale, first)
