"""ComfyUI's rotary embedding, made fit for a gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

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
