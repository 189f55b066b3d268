"""Attention in which objects are bound to their regions: what Stitch (arXiv 2509.26644) does in the first steps.

A simpler version, written from the paper's abstract and summaries of it, without its code. Regions are what relations
ask for and not a language model's boxes, and the prompt is sampled once as a whole. In every layer an image position
outside of an object's region does not see the object's text tokens; in a joint attention these do not see that
position either. Within its region they are heeded twice as much, which is not the paper's. No gradient is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention_calls import CallWatch, Spans, as_bias
from .networks import ReadableNetwork
from .regions import Region
from .wording import fault

#: Added to the logit of a hidden key, whose weight it rounds to 0 in every precision. Where all keys of a query are
#: hidden it cancels, and attention is as without it.
_HIDDEN = -1e4
#: Added to the logits of an object's words where they are seen: its region heeds them twice as much, and fewer objects
#: are missing. More made no difference that could be told.
_HEEDED = math.log(2)


@dataclass(frozen=True)
class BoundText:
    """The prompt of one part of a batch.

    Attributes:
        tokens: for each object the indices of its tokens in the conditioning.
        length: how many tokens the conditioning has.
    """

    tokens: tuple[tuple[int, ...], ...]
    length: int = 0


class Binding:
    """Binds objects to their regions, in one forward of a network after another; of one run.

    Attributes:
        reason: why a layer of the last forward was not bound, in one line; empty where all were.
    """

    def __init__(self, network: ReadableNetwork, regions: Sequence[Region | None]) -> None:
        self.reason = ""
        self._network, self._regions = network, regions
        self._biases: dict[Any, Tensor] = {}

    @contextmanager
    def bound(
        self, parts: Sequence[BoundText | None], begun: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None
    ) -> Iterator[None]:
        """Within this context, a forward of the network attends so; whatever fails in it costs the binding alone.

        Args:
            parts: of equal parts of the batch the prompts whose objects are to be bound; none where none is.
            begun: the arguments of the forward, where this context lies within it.
        """
        length = max(part.length for part in parts if part is not None)
        watch = _BindingWatch(self, tuple(parts))
        with self._network.watching([layer.name for layer in self._network.layers], watch, length):
            if begun is not None:
                watch.begin(partial(self._network.spans, *begun, tokens=length))
            yield
        self.reason = watch.reason

    def bias(self, spans: Spans, parts: tuple[BoundText | None, ...], query: Tensor) -> Tensor:
        """What is added to the logits of a call, (batch, 1, queries, keys), or of 1 for a batch of one part.

        Kept for the run: all layers of a size share it.
        """
        batch = len(query) if len(parts) > 1 else 1
        known = (spans, parts, batch, query.dtype, query.device)
        if known not in self._biases:
            with torch.inference_mode(False), torch.no_grad():  # a probe's layers will differentiate with it
                biases = torch.stack([region_bias(spans, part, self._regions) for part in parts])
                whole = biases.to(query.device, query.dtype).repeat_interleave(batch // len(parts), dim=0)
                self._biases[known] = whole[:, None]
        return self._biases[known]


def region_bias(spans: Spans, text: BoundText | None, regions: Sequence[Region | None]) -> Tensor:
    """What hides objects outside of their regions, and makes these heed them, (queries, keys) of one call: 0 where all
    is as it was.

    Args:
        text: of the prompt; none where nothing is bound.
        regions: of the objects; none of one that may be anywhere.
    """
    bias = torch.zeros(spans.queries, spans.keys)
    if text is None:
        return bias
    frames, height, width = spans.size
    image = slice(spans.image, spans.image + frames * height * width)
    for token, inside in _insides(text, regions, height, width).items():
        seen = inside.flatten().repeat(frames)
        key = spans.text + spans.first + token
        bias[image, key] = torch.where(seen, _HEEDED, _HIDDEN)
        if spans.is_joint:
            bias[key, image] = torch.where(seen, 0.0, _HIDDEN)
    return bias


def _insides(text: BoundText, regions: Sequence[Region | None], height: int, width: int) -> dict[int, Tensor]:
    """Of each token that is bound where it is seen, (height, width): in the regions of all objects that have it."""
    insides: dict[int, Tensor] = {}
    free = {token for tokens, region in zip(text.tokens, regions) if region is None for token in tokens}
    for tokens, region in zip(text.tokens, regions):
        if region is not None:
            cells = region.cells(height, width)
            for token in set(tokens) - free:
                insides[token] = insides[token] | cells if token in insides else cells
    return insides


class _BindingWatch(CallWatch):
    """Adds the bias to the layers' own calls."""

    def __init__(self, binding: Binding, parts: tuple[BoundText | None, ...]) -> None:
        super().__init__()
        self._binding, self._parts = binding, parts
        self._entered: dict[str, bool] = {}
        self._failure = ""

    @property
    def reason(self) -> str:
        """See ``Binding``."""
        missed = [layer for layer, is_bound in self._entered.items() if not is_bound]
        if self._failure or (self._entered and not missed):
            return self._failure
        return f"another patch attends in the place of the layers {', '.join(missed) or 'of the model'}"

    def begin(self, spans: Callable[[], Spans | None]) -> None:
        """See ``CallWatch``."""
        try:
            super().begin(spans)
        except Exception as error:  # the picture is worth more than its binding
            self._spans = None
            self._fail(error)

    def enter(self, layer: str | None) -> None:
        """See ``CallWatch``."""
        super().enter(layer)
        if layer is not None:
            self._entered.setdefault(layer, False)

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Tensor:
        """See ``CallWatch``."""
        try:
            own = self._own(query, key)
            if own is not None:
                layer, spans = own
                bias = self._binding.bias(spans, self._parts, query)
                both = bias if attn_mask is None else as_bias(attn_mask).to(bias.dtype) + bias
                attended = F.scaled_dot_product_attention(query, key, value, both, *args, **kwargs)
                self._entered[layer] = True
                return attended
        except Exception as error:
            self._fail(error)
        return F.scaled_dot_product_attention(query, key, value, attn_mask, *args, **kwargs)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or fault(error)
