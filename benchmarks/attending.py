"""Attention of another kind within the layers of a network that calls PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from steering_core.backends.diffusers.families import readable_network
from steering_core.networks import Transformer, UNet


class Attending(TorchFunctionMode):
    """Attends in its own way within layers that are entered, and as PyTorch does elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self._layer: str | None = None

    def enter(self, layer: str, *_: Any) -> None:
        """The next attention that is the layer's own will be this one's."""
        self._layer = layer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention or self._layer is None:
            return func(*args, **(kwargs or {}))
        attended, is_own = self.attend(self._layer, *args, **(kwargs or {}))
        if is_own:
            self._layer = None
        return attended

    def attend(
        self, layer: str, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **options: Any
    ) -> tuple[Tensor, bool]:
        """What comes of PyTorch's arguments within a layer, and whether this attention was the layer's own."""
        raise NotImplementedError


@contextmanager
def attending(network: nn.Module, how: Attending) -> Iterator[None]:
    """In this context the network's layers attend so."""
    with ExitStack() as hooks:
        for name, module in _attentions(network).items():
            hooks.enter_context(module.register_forward_pre_hook(partial(how.enter, name)))
        hooks.enter_context(how)
        yield


def _attentions(network: nn.Module) -> dict[str, nn.Module]:
    """The module by each layer's name, in whose forward the next attention is the layer's."""
    readable = readable_network(network)
    if isinstance(readable, UNet):
        return {name: layer.attention for name, layer in readable.projections.items()}
    assert isinstance(readable, Transformer)
    return dict(readable.modules)
