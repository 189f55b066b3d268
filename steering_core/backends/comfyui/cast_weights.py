"""Weights that ComfyUI casts, streams or dequantises for each layer: made anew for backward, and not kept for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import comfy.ops
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.conv import _ConvNd

from ...care import ordinary_alias
from .quantised import parts_of


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
    if not _passes_gradient(input) or not (_is_cast(layer, input) or parts_of(layer.weight)):
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
    def forward(ctx: Any, input: Tensor, layer: Any, forward: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.layer = layer
        return ordinary_alias(forward(input.detach()))  # no view, of which none may be changed in place later

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        weight, bias, lent = comfy.ops.cast_bias_weight(ctx.layer, gradient, offloadable=True)
        try:
            plain = weight.dequantize() if parts_of(weight) else weight
            return gradient @ plain.to(gradient.dtype), None, None
        finally:
            comfy.ops.uncast_bias_weight(ctx.layer, weight, bias, lent)


class _ConvolutionCastAgain(torch.autograd.Function):
    """A convolution that keeps its module for backward, and nothing else: its gradient is the same at every input."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, forward: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.forward, ctx.like = forward, (input.shape, input.dtype)
        return ordinary_alias(forward(input.detach()))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        shape, dtype = ctx.like
        return _product(ctx.forward, gradient.new_zeros(shape, dtype=dtype), gradient), None


def _product(forward: Callable[[Tensor], Tensor], input: Tensor, gradient: Tensor) -> Tensor:
    """The vector-Jacobian product of a layer."""
    with torch.enable_grad():
        leaf = input.detach().requires_grad_()
        return torch.autograd.grad(forward(leaf), leaf, gradient)[0]
