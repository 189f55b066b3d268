"""The background of a picture, behind whatever is on it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def estimate_background(pictures: Tensor) -> Tensor:
    """Each picture's colour as a plane over the picture that most of it lies on.

    Args:
        pictures: (batch, 3, H, W), in [0, 1].

    Returns:
        The planes, (batch, 3, H, W).

    Least squares, reweighted with Welsch's function; its scale shrinks from one that takes in
    nearly everything, so that the fit does not settle on an object (graduated non-convexity,
    Blake & Zisserman 1987).
    """
    height, width = pictures.shape[2:]
    y = torch.linspace(-1, 1, height)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width).expand(height, width)
    basis = torch.stack([torch.ones_like(x), x, y], dim=-1).flatten(0, 1)
    colours = pictures.flatten(2).transpose(1, 2)
    plane = colours.median(dim=1, keepdim=True).values
    for scale in np.geomspace(0.1, 0.01, 8).tolist():
        distance = (colours - plane).square().sum(dim=-1, keepdim=True)
        # The small constant keeps the system solvable where nothing is near the plane.
        weighted = basis * (torch.exp(-distance / (2 * scale**2)) + 1e-6)
        plane = basis @ torch.linalg.solve(weighted.transpose(1, 2) @ basis, weighted.transpose(1, 2) @ colours)
    return plane.transpose(1, 2).unflatten(2, (height, width))
