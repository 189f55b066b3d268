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
        self._text = None
        if before is not None and after is not None:
            self._count = _beside(before, after)
        return inputs


def _beside(before: Tensor, after: Tensor) -> tuple[int, int] | None:
    """How many tokens (batch, tokens, width) stand before and after those of a text; none where it is not found."""
    length, more = before.shape[1], after.shape[1] - before.shape[1]
    if not more:  # the text may be changed, as long as each token stays in its place
        return 0, 0
    begins = (begin for begin in (more, 0) if torch.equal(after[:, begin : begin + length], before))
    begin = next(begins, None)
    return None if begin is None or more < 0 else (begin, more - begin)
