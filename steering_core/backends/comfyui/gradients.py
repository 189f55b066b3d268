"""What ComfyUI computes with, made fit for a gradient: weights as they were loaded, without a copy, and rope."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import comfy.model_management
import comfy.ops
import comfy.samplers
import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ...care import ordinary_alias

try:
    from comfy_kitchen.backends.eager import rope
except ImportError:  # of a ComfyUI before it, whose rope is made of PyTorch's own operators
    rope = None

#: Operators of comfy_kitchen that norm and rotate queries and keys; they have no backward of their own.
_ROPE = (
    "apply_rope",
    "apply_rope1",
    "apply_rope_split_half",
    "apply_rope_split_half1",
    "rms_rope",
    "rms_rope1",
    "rms_rope_split_half",
    "rms_rope_split_half1",
)

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


@cache
def make_rope_differentiable() -> None:
    """Give comfy_kitchen's rope its backward, once a process: that of its reference in PyTorch's operators.

    What they compute without gradients stays as it is, and no flag of ComfyUI's has to be set and put back.
    """
    if rope is not None:
        for name in _ROPE:
            if hasattr(rope, f"_op_{name}"):
                backward = partial(_rope_backward, getattr(rope, name))
                torch.library.register_autograd(f"comfy_kitchen::{name}", backward, setup_context=_keep_rope_inputs)


def _keep_rope_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))
    ctx.other = [None if isinstance(value, Tensor) else (value,) for value in inputs]


def _rope_backward(reference: Callable[..., Any], ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    """The vector-Jacobian product of the reference, computed again from its inputs."""
    saved = iter(ctx.saved_tensors)
    inputs = [next(saved).detach() if other is None else other[0] for other in ctx.other]
    wanted = [value for value, is_wanted in zip(inputs, ctx.needs_input_grad) if is_wanted]
    with torch.enable_grad():
        for value in wanted:
            value.requires_grad_()
        outputs = reference(*inputs)
    products = iter(torch.autograd.grad(outputs, wanted, gradients))
    return tuple(next(products) if is_wanted else None for is_wanted in ctx.needs_input_grad)


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


@contextmanager
def weights_cast_again(modules: Iterable[nn.Module]) -> Iterator[None]:
    """In this context no cast, streamed or dequantised weight of a layer among these is kept for backward.

    There it is made anew from the stored one, as each forward makes it: kept, the copies of all layers would take as
    much memory as the whole model in the precision that it is computed in, and a streamed one would be overwritten by
    those of the layers that follow.
    """
    cast = comfy.ops.cast_bias_weight
    forwards = [(part, forward) for part in modules if (forward := _forward_of(part)) is not None]
    for layer, forward in forwards:
        vars(layer)["forward"] = partial(forward, layer)
    comfy.ops.cast_bias_weight = partial(_cast_to_keep, cast)
    try:
        yield
    finally:
        comfy.ops.cast_bias_weight = cast
        for layer, _ in forwards:
            del vars(layer)["forward"]


def _cast_to_keep(cast: Callable[..., Any], layer: Any, *args: Any, **kwargs: Any) -> Any:
    """ComfyUI's cast of a layer. What a norm multiplies with and adds is small and kept: not where others follow."""
    weight, bias, *lent = cast(layer, *args, **kwargs)
    if weight is not None and weight.dim() == 1 and _is_elsewhere(layer, weight):
        weight, bias = weight.clone(), None if bias is None else bias.clone()
    return weight, bias, *lent


def _forward_of(part: nn.Module) -> Callable[..., Tensor] | None:
    """What takes the place of a layer's forward; none for what is no layer of ComfyUI's own."""
    if type(part).__module__ != comfy.ops.__name__ or "forward" in vars(part):
        return None
    if hasattr(part, "in_features"):
        return None if _is_scaled(part) else _linear
    return _convolution if isinstance(part, _ConvNd) else None


def _is_scaled(layer: Any) -> bool:
    """Whether a linear layer does more than multiply with its weight and add its bias."""
    # One scales the input, the other, of a ComfyUI of 2025, the product; a layer for fp8 products changes its input.
    is_scaled = any(getattr(layer, name, None) is not None for name in ("pre_quant_scale", "scale_weight"))
    return is_scaled or "fp8_ops" in type(layer).__qualname__


def _linear(layer: Any, input: Tensor) -> Tensor:
    """A linear layer's forward."""
    forward = partial(type(layer).forward, layer)
    if not _passes_gradient(input) or not (_is_cast(layer, input) or _parts(layer.weight)):
        return forward(input)
    return _LinearCastAgain.apply(input, layer, forward)


def _convolution(layer: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """A convolution's forward."""
    forward = partial(type(layer).forward, layer)
    if not _passes_gradient(input) or not _is_cast(layer, input):
        return forward(input, *args, **kwargs)
    return _ConvolutionCastAgain.apply(input, lambda input: forward(input, *args, **kwargs))


def _passes_gradient(input: Tensor) -> bool:
    return torch.is_grad_enabled() and input.requires_grad


def _is_cast(layer: Any, input: Tensor) -> bool:
    """Whether a layer computes with a copy of its weight."""
    return layer.weight.dtype != input.dtype or _is_elsewhere(layer, input) or bool(layer.weight_function)


def _is_elsewhere(layer: Any, here: Tensor) -> bool:
    """Whether its weight is streamed to where it computes."""
    return layer.weight.device != here.device


class _LinearCastAgain(torch.autograd.Function):
    """A linear layer that keeps its module for backward, and nothing else."""

    @staticmethod
    def forward(ctx: FunctionCtx, input: Tensor, layer: Any, forward: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.layer = layer
        return ordinary_alias(forward(input.detach()))  # no view, of which none may be changed in place later

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        weight, bias, lent = comfy.ops.cast_bias_weight(ctx.layer, gradient, offloadable=True)
        try:
            plain = weight.dequantize() if _parts(weight) else weight
            return gradient @ plain.to(gradient.dtype), None, None
        finally:
            comfy.ops.uncast_bias_weight(ctx.layer, weight, bias, lent)


class _ConvolutionCastAgain(torch.autograd.Function):
    """A convolution that keeps its module for backward, and nothing else: its gradient is the same at every input."""

    @staticmethod
    def forward(ctx: FunctionCtx, input: Tensor, forward: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.forward, ctx.like = forward, (input.shape, input.dtype)
        return ordinary_alias(forward(input.detach()))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        shape, dtype = ctx.like
        return _product(ctx.forward, gradient.new_zeros(shape, dtype=dtype), gradient), None


def _product(forward: Callable[[Tensor], Tensor], input: Tensor, gradient: Tensor) -> Tensor:
    """The vector-Jacobian product of a layer."""
    with torch.enable_grad():
        leaf = input.detach().requires_grad_()
        return torch.autograd.grad(forward(leaf), leaf, gradient)[0]


def _is_inference(tensor: Tensor) -> bool:
    return tensor.is_inference() or any(part.is_inference() for part in _parts(tensor).values())


def _are_one(alias: Tensor, tensor: Tensor) -> bool:
    """Whether two tensors of one kind have the same memory."""
    pairs = list(zip(_parts(alias).values(), _parts(tensor).values(), strict=True)) or [(alias, tensor)]
    return all(one.data_ptr() == other.data_ptr() for one, other in pairs)


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
            if type(tensor) not in (Tensor, nn.Parameter):  # GGUF's, which says how its bytes are meant when it moves
                alias = alias.as_subclass(type(tensor))
        if isinstance(tensor, nn.Parameter):
            alias = nn.Parameter(alias, requires_grad=False)
        vars(alias).update({name: value for name, value in vars(tensor).items() if name not in vars(alias)})
        return alias
