"""The calls of PyTorch's attention in a forward of a network."""

from __future__ import annotations

import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


class Calls(TorchFunctionMode):
    """Every call of PyTorch's attention: queries, keys and the mask."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            mask = args[3] if len(args) > 3 else kwargs.get("attn_mask")
            self.seen.append((args[0].detach(), args[1].detach(), mask))
        return func(*args, **kwargs)


def fits(row, q, k, mask):
    """Whether a call is one of image and text, by the row's own count."""
    tokens = row.size[0] * row.size[1]
    if row.before_text is None:
        return (q.shape[-2], k.shape[-2]) == (tokens, row.texts)
    return q.shape[-2] == k.shape[-2] >= tokens + row.texts
