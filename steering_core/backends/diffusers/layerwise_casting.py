"""Layers whose weights are stored in one type and computed with in another, as ``enable_layerwise_casting`` asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from diffusers.hooks.layerwise_casting import LayerwiseCastingHook
from torch import Tensor, nn

from ...attributes import replaced


@contextmanager
def casting_copies(modules: Sequence[nn.Module]) -> Iterator[None]:
    """In this context such layers among the modules compute with copies of their weights.

    By itself diffusers casts the weights in place and back again, and with them what was saved for backward.
    """
    with ExitStack() as taken:
        for hook in (hook for module in modules for hook in _hooks_of(module)):
            cast = _Cast(hook)
            taken.callback(cast.put_back)  # where a forward did not come to its end
            taken.enter_context(replaced(hook.fn_ref, pre_forward=cast.before, post_forward=cast.after))
        yield


def _hooks_of(module: nn.Module) -> list[LayerwiseCastingHook]:
    registry = vars(module).get("_diffusers_hook")
    hooks = registry.hooks.values() if registry else ()
    return [hook for hook in hooks if isinstance(hook, LayerwiseCastingHook)]


class _Cast:
    """What stands in for what a hook does before and after its layer's forward."""

    def __init__(self, hook: LayerwiseCastingHook) -> None:
        self._hook = hook
        self._stored: list[tuple[dict[str, Any], str, Tensor]] = []

    def before(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Put copies in the type of the computation in the place of the layer's weights."""
        stores: list[dict[str, Any]] = [
            store for part in module.modules() for store in (part._parameters, part._buffers)
        ]
        for store in stores:
            for name, tensor in store.items():
                if tensor is not None and tensor.is_floating_point():
                    self._stored.append((store, name, tensor))
                    copy = tensor.detach().to(self._hook.compute_dtype, non_blocking=self._hook.non_blocking)
                    store[name] = nn.Parameter(copy, requires_grad=False) if isinstance(tensor, nn.Parameter) else copy
        return args, kwargs

    def after(self, module: nn.Module, output: Any) -> Any:
        """Put the weights back."""
        self.put_back()
        return output

    def put_back(self) -> None:
        """The weights as they are stored."""
        for store, name, tensor in self._stored:
            store[name] = tensor
        self._stored.clear()
