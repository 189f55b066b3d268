"""In which numbers the miniatures are trained."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import autocast  # by this name: comfy-test takes torch.autocast for a node's


def half_precision(device: str) -> AbstractContextManager[None]:
    """bf16 where that is faster: processors without instructions for it compute it twenty times slower than float32."""
    fast = torch.device(device).type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return autocast(torch.device(device).type, torch.bfloat16, enabled=fast)
