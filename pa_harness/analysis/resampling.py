"""Bootstrap over documents or tasks, paired along λ, and intervals from it.

All λ see the same resampled documents, so that differences between λ keep their pairing. Of n
documents n − 1 are drawn (with replacement): the variance of the resampled mean is then s²/n with
s² the unbiased sample variance, where n draws give (n − 1)/n of it (Rao and Wu 1988, "Resampling
inference with complex survey data").
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LEVEL = 0.95
_DRAWS_AT_ONCE = 4_000_000  # documents × replicates in memory


@dataclass(frozen=True)
class Intervals:
    """Estimates along λ with pointwise intervals and a simultaneous band; each of shape (λ,).

    `low` and `high` hold at one λ with 95%; all of `band_low` and `band_high` hold together with
    95%, however many λ are looked at. NaN where undefined.
    """

    estimate: Array
    low: Array
    high: Array
    band_low: Array
    band_high: Array


@dataclass(frozen=True)
class Aside:
    """Means over the tasks that have it, each of shape (λ,), with 95% intervals over documents."""

    estimate: Array
    low: Array
    high: Array


def generator(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for each name, so that no task's numbers depend on the others."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def replicate_means(values: Array, replicates: int, random: np.random.Generator) -> Array:
    """Means over resampled columns.

    Args:
        values: shape (λ, documents).
        replicates: how many resamples.
        random: draws the documents.

    Returns:
        Shape (replicates, λ); NaN for a single document, from which nothing can be learnt of
        others.
    """
    rows, count = values.shape
    if count < 2:
        return np.full((replicates, rows), np.nan)
    means = np.empty((replicates, rows))
    step = max(1, _DRAWS_AT_ONCE // count)
    for first in range(0, replicates, step):
        size = min(step, replicates - first)
        drawn = random.integers(count, size=(size, count - 1), dtype=np.int32)
        drawn += np.arange(size, dtype=np.int32)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        means[first : first + size] = times @ values.T / (count - 1)
    return means


def intervals(estimate: Array, replicates: Array, level: float = LEVEL) -> Intervals:
    """Percentile intervals at each λ, and the band of the maximum statistic over all λ.

    The band is estimate ± c·se with c the `level` quantile over replicates of
    max_λ |replicate − estimate| / se; λ without any spread (λ = 1 against itself) are left out.

    Args:
        estimate: shape (λ,).
        replicates: shape (replicates, λ).
        level: of confidence, a fraction.
    """
    tail = (1 - level) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    spread = replicates.std(axis=0, ddof=1)
    moving = spread > 1e-12 * np.maximum(1, np.abs(estimate))
    factor = 0.0
    if moving.any():
        apart = np.abs(replicates[:, moving] - estimate[moving]) / spread[moving]
        factor = float(np.quantile(apart.max(axis=1), level))
    half = factor * np.where(moving, spread, 0.0) + np.where(np.isnan(spread), np.nan, 0.0)
    return Intervals(estimate, low, high, estimate - half, estimate + half)


def differences(estimate: Array, replicates: Array, row: int) -> Intervals:
    """Intervals of what every λ has more than that of one row; arguments as `intervals`."""
    return intervals(estimate - estimate[row], replicates - replicates[:, [row]])


def halves(count: int, splits: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Random halves of `count` documents, shape (splits, count); an odd one falls to either."""
    first = np.zeros((splits, count), dtype=bool)
    for row in first:
        size = count // 2 + (count % 2) * int(random.integers(2))
        row[random.permutation(count)[:size]] = True
    return first
