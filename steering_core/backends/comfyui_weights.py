"""Weights that ComfyUI has loaded, made fit for a gradient without copying them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import comfy.samplers
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ..care import ordinary_alias

#: Quantised formats of ComfyUI whose products have no backward.
_WITHOUT_BACKWARD = ("convrot_w4a4", "asym_w4a8_int8")


def check_differentiable(network: nn.Module) -> None:
    """Refuse weights that no gradient can pass.

    Raises:
        ValueError: names their format.
    """
    formats = {getattr(part, "quant_format", None) for part in network.modules()}
    for name in _WITHOUT_BACKWARD:
        if name in formats:
            raise ValueError(
                f"model: its weights are quantised as {name}, through which no gradient passes, so it cannot be "
                f"steered. Load the model in fp8, int8, nvfp4, bf16 or fp16 instead."
            )


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
        if tensor is not None and _is_inference(tensor)
    ]
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
            if isinstance(tensor, Tensor) and _is_inference(tensor):
                setattr(part, name, _ordinary(tensor))


def _is_inference(tensor: Tensor) -> bool:
    return tensor.is_inference() or any(part.is_inference() for part in _parts(tensor).values())


def _parts(tensor: Tensor) -> dict[str, Tensor]:
    """What a quantised tensor is made of; an ordinary one of nothing else."""
    if not is_traceable_wrapper_subclass(tensor):
        return {}
    names, _ = tensor.__tensor_flatten__()
    return {name: getattr(tensor, name) for name in names}


def _ordinary(tensor: Tensor) -> Tensor:
    """A tensor on the same memory, with the attributes that ComfyUI has put on it; outside inference mode."""
    with torch.inference_mode(False):
        if parts := _parts(tensor):
            _, described = tensor.__tensor_flatten__()
            aliases = {name: ordinary_alias(part) for name, part in parts.items()}
            alias = type(tensor).__tensor_unflatten__(aliases, described, tensor.size(), tensor.stride())
        else:
            alias = ordinary_alias(tensor)
        if isinstance(tensor, nn.Parameter):
            alias = nn.Parameter(alias, requires_grad=False)
        vars(alias).update({name: value for name, value in vars(tensor).items() if name not in vars(alias)})
        return alias
