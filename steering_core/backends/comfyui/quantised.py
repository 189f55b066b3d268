"""Weights that ComfyUI keeps quantised: what they are made of, and those that no gradient can pass."""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

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


def parts_of(tensor: Tensor) -> dict[str, Tensor]:
    """What a quantised tensor is made of; an ordinary one of nothing else."""
    if not is_traceable_wrapper_subclass(tensor):
        return {}
    names, _ = tensor.__tensor_flatten__()
    return {name: getattr(tensor, name) for name in names}
