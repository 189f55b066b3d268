"""Muon: momentum whose matrices are made orthogonal before the step (Jordan et al. 2024).

PyTorch's own computes in bf16 whatever the device, which takes twenty times as long on a processor without
instructions for it; and it leaves all that is no hidden matrix to a second optimiser.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .precision import half_precision

_MOMENTUM = 0.95
#: Of the quintic Newton-Schulz iteration, chosen by Jordan et al. for a steep slope at 0.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
#: An update's root mean square under AdamW, which a step's is brought to (Liu et al. 2025, eq. 4).
_ADAMW_RMS = 0.2


class Muon(torch.optim.AdamW):
    """AdamW, but for the hidden matrices, whose momentum is made orthogonal; one rate serves both.

    Args:
        matrices: two-dimensional weights between hidden states.
        others: embeddings, norms, biases, what reads the input and gives the output.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], others: Iterable[nn.Parameter], rate: float, **adamw: Any):
        groups = [{"params": list(matrices), "orthogonal": True}, {"params": list(others), "orthogonal": False}]
        super().__init__(groups, lr=rate, **adamw)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """The matrices' gradients are used up by it, so that AdamW passes over them."""
        for group in self.param_groups:
            if group["orthogonal"]:
                self._move_matrices(group)
        return super().step(closure)

    def _move_matrices(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for matrix in group["params"]:
            if matrix.grad is not None:
                by_shape[matrix.shape].append(matrix)
        for shape, matrices in by_shape.items():
            updates = orthogonal(torch.stack([self._momentum(matrix) for matrix in matrices]))
            for matrix, update in zip(matrices, updates):
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * _ADAMW_RMS * max(shape) ** 0.5)
                matrix.grad = None

    def _momentum(self, matrix: nn.Parameter) -> Tensor:
        """Nesterov's."""
        state = self.state[matrix]
        if not state:
            # AdamW wants to find a count in whatever it loads.
            state["momentum"], state["step"] = torch.zeros_like(matrix), torch.zeros(())
        assert matrix.grad is not None
        state["momentum"].lerp_(matrix.grad, 1 - _MOMENTUM)
        return torch.lerp(matrix.grad, state["momentum"], _MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (number, rows, columns) with singular values near 1 in place of their own, by Newton-Schulz."""
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    with half_precision(x.device.type):
        for _ in range(_ITERATIONS):
            gram = x @ x.mT
            x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.mT if is_tall else x
