"""Batches of a pipeline that draws: their parts, as of prompt and negative prompt, and what is alike in them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

#: Inputs of the network that have the pictures of one adapter in their first axis, or none.
_NOT_BATCHED = ("ip_adapter_masks",)
#: Vectors of one prompt that were computed in one batch differ by less than this share.
_ROUNDING = 0.02


def are_alike(vectors: Tensor, other: Tensor) -> bool:
    """Whether two prompts' vectors (tokens, width) are those of one, but for rounding."""
    if vectors.shape != other.shape:
        return False
    difference, size = (one.float().norm() for one in (vectors - other, vectors))
    return bool(difference <= _ROUNDING * size)


def part_of(value: Any, parts: int, which: int, batch: int, listed: tuple[str, ...] = ()) -> Any:
    """One part of every batched tensor, in containers of their own: a forward may empty those that it gets.

    Args:
        which: part, from 0.
        batch: of all parts together.
        listed: keys of lists with an item for each picture.
    """

    def of_entry(key: Any, item: Any) -> Any:
        if key in _NOT_BATCHED:
            return item
        if key in listed:
            size = batch // parts
            return item[:size] if which == 0 else item[-size:]
        return part_of(item, parts, which, batch)

    if isinstance(value, Tensor):
        return value.chunk(parts)[which] if value.dim() and len(value) == batch else value
    if isinstance(value, dict):
        return {key: of_entry(key, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(part_of(item, parts, which, batch) for item in value)
    return value
