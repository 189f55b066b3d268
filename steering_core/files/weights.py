"""Weights of networks, told apart by a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from torch import Tensor
from torch.nn import Module


def weights_hash(parts: Iterable[Module]) -> str:
    """SHA-256 of the names and weights of some networks, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        for name, weight in sorted(part.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight_bytes(weight))
    return digest.hexdigest()


def weight_bytes(weight: Tensor) -> bytes:
    """A weight's values for a hash, the same on every device and in every precision that holds them."""
    return weight.detach().float().cpu().numpy().tobytes()
