"""How sure a figure is: 95 % intervals by resampling whole prompts, whose pictures resemble each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES, _AT_ONCE, _SEED = 2000, 100, 0
#: The 97.5 % quantile of the standard normal distribution.
_Z = 1.959964
#: What sums of shares are rounded by, and more; what prompts differ by is far more than this.
_ROUNDING = 1e-9
#: Sums over prompts, each (…,), to a figure (…,).
Figure = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; nan where there is nothing that it could be told from."""

    value: float
    low: float
    high: float

    @property
    def has_width(self) -> bool:
        """Whether the interval's ends differ by more than rounding; not where they are nan."""
        return self.high - self.low > _ROUNDING

    def as_json(self) -> dict[str, float | None]:
        """In plain values; nan is null."""
        return {name: null_for_nan(value) for name, value in vars(self).items()}


def null_for_nan(value: float) -> float | None:
    """A number as JSON has it, which has no nan."""
    return None if math.isnan(value) else value


def ratio(counted: np.ndarray, out_of: np.ndarray) -> np.ndarray:
    """One sum over another."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return counted / out_of


def estimate(figure: Figure, *counts: Sequence[float]) -> Estimate:
    """A figure of sums over prompts, with its percentile bootstrap interval (Efron 1979).

    Args:
        figure: of the sums, in the order of ``counts``, such as ``ratio``.
        counts: for each prompt a number, such as how many of its pictures are right, and how many there are.

    Raises:
        ValueError: there is no prompt, or the counts are of different prompts.
    """
    table = np.array(counts, dtype=float)
    if table.ndim != 2 or not table.shape[1]:
        raise ValueError("Counts of the same prompts, one or more, were expected.")
    (value,) = figure(*table.sum(axis=1, keepdims=True))
    rng, prompts = np.random.default_rng(_SEED), table.shape[1]
    # How often each prompt is drawn, a few resamples at a time: all at once would not fit into memory.
    drawn = (
        rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=_AT_ONCE) for _ in range(_RESAMPLES // _AT_ONCE)
    )
    figures = figure(*np.concatenate([times @ table.T for times in drawn]).T)
    finite = figures[np.isfinite(figures)]
    low, high = np.percentile(finite, (2.5, 97.5)) if len(finite) else (np.nan, np.nan)
    return Estimate(float(value), float(low), float(high))


def share(counted: Sequence[float], out_of: Sequence[float]) -> Estimate:
    """A share of pictures, such as VISOR-cond: correct ones out of those with all objects.

    Where all prompts agree, resampling them tells nothing of how sure that is; the interval is then Wilson's, as if
    each prompt had one picture.

    Args:
        counted, out_of: for each prompt, numbers of pictures.
    """
    estimated = estimate(ratio, counted, out_of)
    if estimated.has_width or math.isnan(estimated.value):
        return estimated
    return Estimate(estimated.value, *wilson_interval(min(estimated.value, 1.0), sum(count > 0 for count in out_of)))


def difference(first: Sequence[float], second: Sequence[float], pictures: Sequence[float]) -> Estimate:
    """By how much the share of pictures that count is larger in a second run with the same prompts and seeds.

    Prompts are resampled with both runs' pictures, so that what is hard for both is no noise. Where all differ by the
    same, resampling tells nothing, and the interval's ends are nan.

    Args:
        first, second: for each prompt, how many of its pictures count.
        pictures: for each prompt, how many there are in either run.
    """
    estimated = estimate(lambda one, other, all_: (other - one) / all_, first, second, pictures)
    return estimated if estimated.has_width else Estimate(estimated.value, math.nan, math.nan)


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """The 95 % interval of a share observed in ``count`` independent trials (Wilson 1927).

    Args:
        share: in [0, 1].

    Raises:
        ValueError: the count is not positive, or the share not within [0, 1].
    """
    if count <= 0 or not 0 <= share <= 1:
        raise ValueError(f"Expected a share in [0, 1] of at least one trial, got {share} of {count}.")
    spread = _Z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    reach = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)
