"""Weights that ComfyUI loaded in inference mode, made fit for a gradient without a copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import comfy.samplers
import torch
from torch import Tensor, nn

from ...care import ordinary_alias
from .quantised import parts_of


@contextmanager
def ordinary_weights(guider: comfy.samplers.CFGGuider) -> Iterator[None]:
    """Within this context, weights that were loaded in inference mode can be saved for backward.

    Each such tensor, of the network and of the models that come with its conditioning or by patches of its blocks, is
    replaced by an ordinary one on the same memory: nothing is copied.
    """
    beside = [*guider.loaded_models, *guider.model_patcher.model_patches_models()]
    networks = [guider.inner_model.diffusion_model, *(patcher.model for patcher in beside)]
    parts = [part for network in networks for part in network.modules()]
    stores = [store for part in parts for store in (part._parameters, part._buffers)]
    replaced = [
        (store, name, tensor)
        for store in stores
        for name, tensor in store.items()
        if tensor is not None and _is_inference(tensor)
    ]
    aliases = [_ordinary(tensor) for _, _, tensor in replaced]
    for (store, name, _), alias in zip(replaced, aliases):
        store[name] = alias
    try:
        yield
    finally:
        for (store, name, tensor), alias in zip(replaced, aliases):
            # Where memory ran short meanwhile, ComfyUI has put the weight elsewhere, or another in its place.
            if store.get(name) is alias and _are_one(alias, tensor):
                store[name] = tensor


def make_cast_weights_ordinary(modules: Iterable[nn.Module]) -> None:
    """The same for the copies on the GPU that ComfyUI keeps: at a network's modules, and where it streams weights."""
    for part in modules:
        for name in ("_v_weight", "_v_bias"):
            tensor = getattr(part, name, None)
            if isinstance(tensor, Tensor) and _is_inference(tensor):
                setattr(part, name, _ordinary(tensor))
    buffers = getattr(comfy.model_management, "STREAM_CAST_BUFFERS", {})  # a ComfyUI of early 2025 has none
    for stream, buffer in buffers.items():
        if buffer.is_inference():
            buffers[stream] = ordinary_alias(buffer)


def _is_inference(tensor: Tensor) -> bool:
    return tensor.is_inference() or any(part.is_inference() for part in parts_of(tensor).values())


def _are_one(alias: Tensor, tensor: Tensor) -> bool:
    """Whether two tensors of one kind have the same memory."""
    pairs = list(zip(parts_of(alias).values(), parts_of(tensor).values(), strict=True)) or [(alias, tensor)]
    return all(one.data_ptr() == other.data_ptr() for one, other in pairs)


def _ordinary(tensor: Tensor) -> Tensor:
    """A tensor on the same memory, with the attributes that ComfyUI has put on it; outside inference mode."""
    with torch.inference_mode(False):
        if parts := parts_of(tensor):
            wrapper: Any = tensor
            _, described = wrapper.__tensor_flatten__()
            aliases = {name: ordinary_alias(part) for name, part in parts.items()}
            alias = type(wrapper).__tensor_unflatten__(aliases, described, tensor.size(), tensor.stride())
        else:
            alias = ordinary_alias(tensor)
            if type(tensor) not in (Tensor, nn.Parameter):  # GGUF's, which says how its bytes are meant when it moves
                alias = alias.as_subclass(type(tensor))
        if isinstance(tensor, nn.Parameter):
            alias = nn.Parameter(alias, requires_grad=False)
        vars(alias).update({name: value for name, value in vars(tensor).items() if name not in vars(alias)})
        return alias
