"""Intervals from an estimate, its variance and its degrees of freedom; no resampling.

A difference x with variance V and critical value c (of Student's t at one λ, of the largest of
several correlated t for all λ at once) has the interval x ± c √V, widened where few documents
changed. A mean of changes of one size cannot be h without a share |h| / size of them, so under the
hypothesis h its variance is at least s |h| (1 − |h|), with s the variance that one unit of change
brings (1/n for right or wrong answers of n independent documents). What that does not contradict
belongs to the interval too: the score interval of Wilson (1927). Means from 0 to 1 have Wilson's
interval, with n the number of documents that would give their variance.

Simulations with known truth: benchmarks/coverage.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LEVEL = 0.95
POWER = 0.8416212335729143  # of the normal distribution: what 80% of repetitions exceed
TIE = 1e-6  # of the largest change there can be: a smaller one is numerical noise, and none
_DRAWS = 20_000  # of the largest of several correlated t; the same ones every time


@dataclass(frozen=True)
class Pointwise:
    """Estimates along λ, each of shape (λ,); `low` and `high` hold at one λ with 95%.

    NaN where undefined. `error` is the standard error.
    """

    estimate: Array
    low: Array
    high: Array
    error: Array


@dataclass(frozen=True)
class Intervals(Pointwise):
    """Differences along λ with a simultaneous band, too.

    All of `band_low` and `band_high` hold together with 95%, however many λ are looked at;
    `factor` is the band's critical value, in standard errors.
    """

    band_low: Array
    band_high: Array
    factor: float


def critical(freedom: Array | float, level: float = LEVEL) -> Array:
    """Student's t: what |t| stays below with probability `level`, shape as `freedom`."""
    found: Array = stdtrit(freedom, (1 + level) / 2)
    return found


def score_bounds(x: Array, kappa: Array) -> tuple[Array, Array]:
    """The h from 0 to 1 with (x − h)² ≤ κ h (1 − h), as low and high; NaN where there are none."""
    root = kappa**2 + 4 * kappa * x * (1 - x)
    half = np.sqrt(np.where(root < 0, np.nan, root))
    centre, whole = 2 * x + kappa, 2 * (1 + kappa)
    return (centre - half) / whole, (centre + half) / whole


def band_factor(covariance: Array, freedom: float, level: float = LEVEL) -> float:
    """What the largest |t| of several stays below with probability `level`.

    Args:
        covariance: of the estimates, shape (λ, λ); those without any variance are left out.
        freedom: of their variances.
        level: of confidence, a fraction.
    """
    spread = np.sqrt(np.diag(covariance))
    least = float(critical(freedom, level))
    if np.isnan(spread).any() or np.isnan(least):
        return float("nan")
    moving = spread > 1e-9 * max(float(spread.max()), 1e-12)
    if moving.sum() < 2:
        return least
    inside = covariance[np.ix_(moving, moving)] / np.outer(spread[moving], spread[moving])
    values, vectors = np.linalg.eigh(inside)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    drawn = _normals(len(inside)) @ root.T
    largest = np.abs(drawn, out=drawn).max(axis=1)
    gamma = np.random.default_rng(1).standard_gamma(freedom / 2, _DRAWS)
    return max(least, float(np.quantile(largest * np.sqrt(freedom / 2 / gamma), level)))


@cache
def _normals(columns: int) -> Array:
    return np.random.default_rng(0).standard_normal((_DRAWS, columns))
