"""Muon: momentum whose matrices are made orthogonal before the step (Jordan et al. 2024).

PyTorch's own computes in bf16 whatever the device, which takes twenty times as long on a processor without
instructions for it; and it leaves all that is no hidden matrix to a second optimiser.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
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
        matrices = [matrix for matrix in group["params"] if matrix.grad is not None]
        by_shape: dict[torch.Size, list[int]] = defaultdict(list)
        for index, matrix in enumerate(matrices):
            by_shape[matrix.shape].append(index)
        momenta, decay = self._momenta(matrices), 1 - group["lr"] * group["weight_decay"]
        for shape, indices in by_shape.items():
            alike, rate = [matrices[index] for index in indices], group["lr"] * _ADAMW_RMS * max(shape) ** 0.5
            updates = orthogonal(torch.stack([momenta[index] for index in indices])).float()
            torch._foreach_mul_(alike, decay)
            torch._foreach_add_(alike, updates.unbind(), alpha=-rate)
        for matrix in matrices:
            matrix.grad = None

    def _momenta(self, matrices: list[nn.Parameter]) -> Sequence[Tensor]:
        """Nesterov's, of matrices with gradients."""
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        for matrix in matrices:
            if not self.state[matrix]:
                # AdamW wants to find a count in whatever it loads.
                self.state[matrix].update(momentum=torch.zeros_like(matrix), step=torch.zeros(()))
        momenta = [self.state[matrix]["momentum"] for matrix in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
        return torch._foreach_lerp(gradients, momenta, _MOMENTUM)


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
