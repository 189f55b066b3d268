"""What steering costs in quality and variety: a method that paints every picture alike would score well elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..detection.boxes import Found


class Moments:
    """Mean and covariance of features that come a few pictures at a time, so that none has to be kept."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: Tensor | float = 0.0
        self._products: Tensor | float = 0.0

    @classmethod
    def of(cls, features: Iterable[Tensor]) -> Moments:
        """Of features that come one after the other, each (pictures, numbers)."""
        moments = cls()
        for some in features:
            moments.add(some)
        return moments

    def add(self, features: Tensor) -> None:
        """Take in features, (pictures, numbers).

        Raises:
            ValueError: they have another shape, or values that are no finite numbers.
        """
        numbers = self._sum.shape[0] if isinstance(self._sum, Tensor) else features.shape[-1]
        if features.dim() != 2 or features.shape[1] != numbers or not features.isfinite().all():
            raise ValueError(f"Features (pictures, {numbers}) of finite numbers were expected, not {features.shape}.")
        wide = features.double().cpu()
        self.count += len(wide)
        self._sum = self._sum + wide.sum(dim=0)
        self._products = self._products + wide.T @ wide

    @property
    def mean_and_covariance(self) -> tuple[Tensor, Tensor]:
        """(numbers,) and (numbers, numbers).

        Raises:
            ValueError: there are fewer than two pictures.
        """
        if self.count < 2 or not isinstance(self._sum, Tensor) or not isinstance(self._products, Tensor):
            raise ValueError(f"Features of two pictures or more were expected, not of {self.count}.")
        mean = self._sum / self.count
        return mean, (self._products - self.count * mean.outer(mean)) / (self.count - 1)


def frechet_distance(first: Moments, second: Moments) -> float:
    """The Fréchet distance of two sets of features taken as normal distributions (Dowson and Landau 1982; Heusel et
    al. 2017, eq. 6 of the paper on FID).

    Raises:
        ValueError: one is of fewer than two pictures, or they have other numbers of features.
    """
    (our_mean, ours), (their_mean, theirs) = first.mean_and_covariance, second.mean_and_covariance
    if ours.shape != theirs.shape:
        raise ValueError(f"As many features were expected of both, not {len(ours)} and {len(theirs)}.")
    values, vectors = torch.linalg.eigh(ours)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    # The roots of the eigenvalues of root · theirs · root are those of (ours · theirs), and this one is symmetric.
    common = torch.linalg.eigvalsh(root @ theirs @ root).clamp_min(0).sqrt().sum()
    distance = (our_mean - their_mean).square().sum() + ours.trace() + theirs.trace() - 2 * common
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
