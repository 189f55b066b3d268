"""Tokens that patches of a network's input put beside the text's, as core's USO Style Reference does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_PATCHES = "post_input"
#: Of ``transformer_options``, which reach the network's forward: how many there are.
_COUNT = "spatial_steering_brought"


def counting_tokens(transformer_options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one forward, in which its patches are watched."""
    patches = transformer_options.get("patches", {})
    if not patches.get(_PATCHES):
        return dict(transformer_options)
    count = BroughtTokens()
    watched = {**patches, _PATCHES: [count.begin, *patches[_PATCHES], count.end]}
    return {**transformer_options, "patches": watched, _COUNT: count}


def brought_tokens(kwargs: Mapping[str, Any]) -> BroughtTokens | None:
    """What counts them in the forward with these arguments; none where nothing is watched."""
    return (kwargs.get("transformer_options") or {}).get(_COUNT)


class BroughtTokens:
    """Counts them, as the first and the last of the patches."""

    def __init__(self) -> None:
        self._text: Tensor | None = None
        self._count: tuple[int, int] | None = (0, 0)

    def __call__(self) -> tuple[int, int]:
        """How many stand before the text, and how many after it.

        Raises:
            RuntimeError: the text is not to be found among them.
        """
        if self._count is None:
            raise RuntimeError("a patch of the network's input has changed the text's tokens")
        return self._count

    def begin(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The first patch."""
        self._text = inputs.get("txt")
        return inputs

    def end(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The last patch."""
        before, after = self._text, inputs.get("txt")
        if before is not after and before is not None and after is not None:
            length, more = before.shape[1], after.shape[1] - before.shape[1]
            begins = [
                begin for begin in (0, more) if more >= 0 and torch.equal(after[:, begin : begin + length], before)
            ]
            # Where no token is added the text may be changed, as long as each stays in its place.
            self._count = (0, 0) if not more else (begins[0], more - begins[0]) if begins else None
        self._text = None
        return inputs
