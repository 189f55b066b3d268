"""Which model is it? A hash of what ComfyUI's models compute with, LoRAs and other patches included."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy.weight_adapter import WeightAdapterBase
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ...files.weights import weight_bytes

#: Of a text encoder's pooled output, which no token's attention sees. Not every file has it; without, ComfyUI leaves
#: in its place what the memory happens to hold.
_UNUSED = "text_projection.weight"


def patched_hash(patchers: Iterable[ModelPatcher]) -> str:
    """SHA-256 of the weights of some models as their files have them, and of the patches that lie on them.

    Patches are hashed for themselves, with their strengths, since ComfyUI works them into the weights only when
    it loads a model, in a precision that depends on the device: so it is the same before and after.

    Raises:
        ValueError: a model is changed in a way that tells nothing of itself.
    """
    digest = hashlib.sha256()
    for patcher in patchers:
        if any(patcher.injections.values()) or patcher.weight_wrapper_patches:
            raise ValueError(
                "model: it is changed by parts that are put between its layers, such as those of Load LoRA (Bypass), "
                "so a dataset could not say which model it is of. Load the LoRA with the ordinary node."
            )
        for name, weight in sorted(_weights_of_the_file(patcher).items()):
            if not name.endswith(_UNUSED):
                digest.update(name.encode())
                digest.update(weight_bytes(_plain(weight)))
        for name, patches in sorted(patcher.patches.items()):
            _add((name, patches), digest.update)
    return digest.hexdigest()


def _weights_of_the_file(patcher: ModelPatcher) -> dict[str, Tensor]:
    """Parameters by name; where ComfyUI has put something else in their place, what it keeps of them."""
    weights: dict[str, Tensor] = dict(patcher.model.named_parameters())
    weights.update((name, kept.weight) for name, kept in patcher.backup.items() if name in weights)
    for name, part in {**patcher.object_patches_backup, **patcher.object_patches}.items():
        if isinstance(part, nn.Module):
            weights = {key: weight for key, weight in weights.items() if not key.startswith(f"{name}.")}
            weights.update((f"{name}.{key}", weight) for key, weight in part.named_parameters())
    return weights


def _plain(weight: Tensor) -> Tensor:
    return weight.dequantize() if is_traceable_wrapper_subclass(weight) else weight


def _add(value: Any, update: Callable[[bytes], None]) -> None:
    """Hash a patch: tensors, strengths and what holds them together."""
    if isinstance(value, Tensor):
        update(f"{tuple(value.shape)}".encode())
        update(weight_bytes(_plain(value)))
    elif isinstance(value, WeightAdapterBase):
        _add((value.name, *value.weights), update)
    elif isinstance(value, Mapping):
        _add(tuple(value.items()), update)
    elif isinstance(value, (tuple, list)):
        update(f"{len(value)}:".encode())
        for part in value:
            _add(part, update)
    elif value is None or isinstance(value, (bool, int, float, str)):
        update(f"{value!r};".encode())
    else:  # a function that shapes the patch, or the kind of something
        update(getattr(value, "__qualname__", type(value).__qualname__).encode())
