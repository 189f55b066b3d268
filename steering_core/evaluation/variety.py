"""What steering costs in quality and variety: a method that paints every picture alike would score well elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .boxes import Found


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """The Fréchet distance of two sets of features taken as normal distributions (Dowson and Landau 1982; Heusel et
    al. 2017, eq. 6 of the paper on FID).

    Args:
        first, second: (pictures, features), two pictures or more each.

    Raises:
        ValueError: they have other shapes, or values that are no finite numbers.
    """
    for features in (first, second):
        if features.dim() != 2 or len(features) < 2 or features.shape[1] != first.shape[1]:
            raise ValueError(
                f"(pictures, features) of two pictures or more were expected, not {tuple(features.shape)}."
            )
        if not features.isfinite().all():
            raise ValueError("Features of finite numbers were expected.")
    means, covariances = zip(*((one.double().mean(dim=0), one.double().T.cov()) for one in (first, second)))
    ours, theirs = (covariance.reshape(first.shape[1], first.shape[1]) for covariance in covariances)
    values, vectors = torch.linalg.eigh(ours)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    # The roots of the eigenvalues of root · theirs · root are those of (ours · theirs), and this one is symmetric.
    common = torch.linalg.eigvalsh(root @ theirs @ root).clamp_min(0).sqrt().sum()
    distance = (means[0] - means[1]).square().sum() + ours.trace() + theirs.trace() - 2 * common
    return max(distance.item(), 0.0)


def spread_over_seeds(label: str, pictures: Sequence[Sequence[Found]]) -> tuple[float, float]:
    """How much an object's place and size differ between a prompt's pictures.

    Returns:
        The root mean square distance of its centre from the mean one, in shares of the sides, and the standard
        deviation of the natural logarithm of its area; nan where it is in fewer than two pictures.
    """
    of_label = [[one for one in found if one.label == label and one.box.area] for found in pictures]
    best = [max(found, key=lambda one: one.score).box for found in of_label if found]
    if len(best) < 2:
        return math.nan, math.nan
    centres = torch.tensor([box.centre for box in best], dtype=torch.float64)
    areas = torch.tensor([box.area for box in best], dtype=torch.float64).log()
    return centres.var(dim=0, correction=0).sum().sqrt().item(), areas.std(correction=0).item()
