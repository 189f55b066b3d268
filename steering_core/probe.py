"""The reader of attention: which call, which part of it is text and which is image; it leaves early.

A network of cross-attention (a UNet) is read where its layers project queries and keys, whatever attends to them
afterwards. A transformer norms and rotates them after that, so it is read at the call of PyTorch's attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .attention import logit_variance, split_heads, standardised_queries, token_columns
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


@dataclass(frozen=True)
class Projections:
    """Where one cross-attention layer makes its queries and keys.

    Attributes:
        image: the module around it that is given the features as an image, (batch, channels, H, W).
        attention: the layer; its forward may be passed by.
        q, k: whose outputs are the queries and the keys, (batch, length, heads·head_dim) or with the heads apart.
            Values may follow on the keys.
        bias: of the inputs of the layer's forward what it adds to its logits, if anything.
        heads: how many.
    """

    image: nn.Module
    attention: nn.Module
    q: nn.Module
    k: nn.Module
    heads: int
    bias: Callable[[Mapping[str, Any]], Tensor | None] = lambda inputs: None


class Reading:
    """A context in which a forward of a network shows its attention to a collector.

    It remembers what the forward was given, so that in ``again`` a block of it can be run by itself.

    Args:
        hook: hangs on the network what reads, for as long as a stack is open.
        begin: is told of a block that is run by itself.
    """

    def __init__(
        self, hook: Callable[[ExitStack], None], begin: Callable[[nn.Module], None] = lambda block: None
    ) -> None:
        self._hook, self._begin = hook, begin
        self._hooks = ExitStack()

    def __enter__(self) -> None:
        with ExitStack() as hooks:
            self._hook(hooks)
            self._hooks = hooks.pop_all()

    def __exit__(self, *_: object) -> None:
        self._hooks.close()

    @contextmanager
    def again(self, block: nn.Module) -> Iterator[None]:
        """The context for the forward of one block, by itself."""
        with self:
            self._begin(block)
            yield


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


class _ProjectionReader:
    """Hooks of one layer."""

    def __init__(self, name: str, layer: Projections, collector: MapCollector) -> None:
        self._name, self._layer, self._collector = name, layer, collector
        self._size: Sequence[int] = ()
        self._bias: Tensor | None = None
        self._q: Tensor | None = None

    def see_image(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._size = args[0].shape[-2:]

    def see_inputs(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._bias = self._layer.bias(kwargs)

    def see_queries(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        self._q = output

    def see_keys(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        assert self._q is not None
        k = output[..., : self._q.shape[-1]]
        self._collector.add(self._name, self._with_heads(self._q), self._with_heads(k), self._size, self._bias)

    def _with_heads(self, x: Tensor) -> Tensor:
        return x if x.dim() == 4 else split_heads(x, self._layer.heads)


@dataclass(frozen=True)
class Spans:
    """What is what in the attention calls of one forward of a transformer.

    Attributes:
        size: (frames, H, W) of the image in tokens.
        queries, keys: how many a call to be read has, tokens of reference pictures left out.
        image: number of the image's first query.
        text: number of the text's first key.
        texts: how many keys the text has.
        first: where the conditioning begins in the text.
        references: where tokens of reference pictures stand, if there are any; none where there can be none.
        brought: tells, when a call is read, how many tokens others have put before the text, and how many after it.
    """

    size: tuple[int, int, int]
    queries: int
    keys: int
    image: int
    text: int
    texts: int
    first: int = 0
    references: int | None = None
    brought: Callable[[], tuple[int, int]] | None = None

    @property
    def is_joint(self) -> bool:
        """Whether text and registers attend too, not the image alone."""
        return self.queries > prod(self.size)

    def in_call(self, q: Tensor, k: Tensor) -> Spans | None:
        """The spans with all that stands in one call of (batch, heads, length, head_dim).

        Returns:
            None where it is no call to be read, but a refiner's or a second attention of the image alone.

        Raises:
            RuntimeError: it cannot be told where the text is.
        """
        if self.brought is not None:
            return self._beside(*self.brought()).in_call(q, k)
        queries, keys = q.shape[-2], k.shape[-2]
        if (queries, keys) == (self.queries, self.keys):
            return self
        more = queries - self.queries
        if self.references is None or more < 0 or keys - self.keys != more:
            return None
        image, text = (begin + more if begin >= self.references else begin for begin in (self.image, self.text))
        return replace(self, queries=queries, keys=keys, image=image, text=text)

    def _beside(self, before: int, after: int) -> Spans:
        """The spans with so many tokens more before and after the text."""
        more = before + after
        image = self.image + (more if self.image > self.text else 0)
        references = self.references
        if references is not None and references > self.text:
            references += more
        return replace(
            self,
            queries=self.queries + (more if self.is_joint else 0),
            keys=self.keys + more,
            image=image,
            text=self.text + before,
            references=references,
            brought=None,
        )


class CallWatch(TorchFunctionMode):
    """Sees the calls of PyTorch's attention that are a layer's own; in ``attend`` it may do them in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self._spans: Spans | None = None
        self._layer: str | None = None

    def begin(self, spans: Callable[[], Spans | None]) -> None:
        """The calls that follow are of such spans: those of a forward, or of a layer."""
        self._spans = spans()

    def enter(self, layer: str | None) -> None:
        """The next call that fits is this layer's, or no wanted one's."""
        self._layer = layer

    def attend(self, *args: Any, **kwargs: Any) -> Tensor:
        """What comes of a call of PyTorch's attention within a layer, which may be the layer's own."""
        raise NotImplementedError

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention and self._layer is not None:
            return self.attend(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _own(self, query: Tensor, key: Tensor) -> tuple[str, Spans] | None:
        """The layer and its spans, if this call is its own; the next one is not."""
        spans, layer = self._spans and self._spans.in_call(query, key), self._layer
        if spans is None or layer is None:
            return None
        self._layer = None
        return layer, spans


def watching_calls(
    network: nn.Module,
    layers: Mapping[str, nn.Module],
    spans: Callable[[tuple[Any, ...], dict[str, Any]], Spans],
    watch: CallWatch,
) -> Reading:
    """Within this context, a watch sees the attention of a transformer's layers.

    Args:
        network: whose forward is watched.
        layers: the module by each wanted layer's name, in whose forward the call is.
        spans: of the inputs of the network's forward.
    """

    def hook(hooks: ExitStack) -> None:
        hooks.enter_context(
            network.register_forward_pre_hook(
                lambda module, args, kwargs: watch.begin(partial(spans, args, kwargs)), with_kwargs=True
            )
        )
        for name, module in layers.items():
            hooks.enter_context(module.register_forward_pre_hook(lambda *_, name=name: watch.enter(name)))
            hooks.enter_context(module.register_forward_hook(lambda *_: watch.enter(None)))
        hooks.enter_context(watch)

    names = {module: name for name, module in layers.items()}
    return Reading(hook, lambda block: watch.enter(names.get(block)))


@contextmanager
def watching_projected(layers: Mapping[str, Projections], watch: CallWatch) -> Iterator[None]:
    """Within this context, a watch sees the cross-attention of a UNet's layers."""
    with ExitStack() as hooks:
        for name, layer in layers.items():
            announcer = _CallAnnouncer(name, watch)
            hooks.enter_context(layer.image.register_forward_pre_hook(announcer.see_image))
            hooks.enter_context(layer.k.register_forward_hook(announcer.see_keys))
        hooks.enter_context(watch)
        yield


class _CallAnnouncer:
    """Hooks of one layer of cross-attention, which say that its call follows."""

    def __init__(self, name: str, watch: CallWatch) -> None:
        self._name, self._watch = name, watch
        self._size: Sequence[int] = ()

    def see_image(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._size = args[0].shape[-2:]

    def see_keys(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        height, width = self._size
        keys = output.shape[-2]
        spans = Spans((1, height, width), queries=height * width, keys=keys, image=0, text=0, texts=keys)
        self._watch.begin(lambda: spans)
        self._watch.enter(self._name)


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


def as_bias(mask: Tensor) -> Tensor:
    """What a mask adds to the logits."""
    if mask.dtype != torch.bool:
        return mask
    return mask.new_zeros(mask.shape, dtype=torch.float32).masked_fill(~mask, float("-inf"))
