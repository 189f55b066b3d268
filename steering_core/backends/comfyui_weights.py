"""Weights that ComfyUI has loaded in inference mode, made fit for a gradient without copying them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import comfy.samplers
import torch
from torch import Tensor, nn


@contextmanager
def ordinary_weights(guider: comfy.samplers.CFGGuider) -> Iterator[None]:
    """Within this context, weights that were loaded in inference mode can be saved for backward.

    Each such tensor, of the network and of the models that come with its conditioning, is
    replaced by an ordinary one on the same memory: nothing is copied.
    """
    networks = [guider.inner_model.diffusion_model, *(patcher.model for patcher in guider.loaded_models)]
    parts = [part for network in networks for part in network.modules()]
    stores = [store for part in parts for store in (part._parameters, part._buffers)]
    replaced = [
        (store, name, tensor)
        for store in stores
        for name, tensor in store.items()
        if tensor is not None and tensor.is_inference()
    ]
    with torch.inference_mode(False):
        for store, name, tensor in replaced:
            store[name] = _ordinary(tensor)
    try:
        yield
    finally:
        for store, name, tensor in replaced:
            store[name] = tensor


def make_cast_weights_ordinary(network: nn.Module) -> None:
    """The same for the copies on the GPU that ComfyUI's dynamic memory keeps at its modules."""
    for part in network.modules():
        for name in ("_v_weight", "_v_bias"):
            tensor = getattr(part, name, None)
            if isinstance(tensor, Tensor) and tensor.is_inference():
                setattr(part, name, _ordinary(tensor))


def _ordinary(tensor: Tensor) -> Tensor:
    """A tensor on the same memory, with the attributes that ComfyUI has put on it; outside inference mode."""
    alias = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(
        tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride()
    )
    if isinstance(tensor, nn.Parameter):
        alias = nn.Parameter(alias, requires_grad=False)
    vars(alias).update(vars(tensor))
    return alias
