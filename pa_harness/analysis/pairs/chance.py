"""How likely differences as large as those seen are where there is none: p, exact where it can be.

Where two models are alike, each cluster's change is as likely as its opposite. The sum of the
changes then has the distribution of Σ ±|d|, all signs equally likely, and

    p = P(|Σ ±|d|| ≥ |Σ d|)

is exact however few there are (Fisher 1935). Of right or wrong answers of documents that stand
alone this is McNemar's exact test (1947). Averages and other numbers have it where few clusters
changed, which is where Student's t would be wrong; else they have that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr, gammaln, ndtr, stdtr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pa_harness.analysis.intervals import Array

_FEW = 16  # changes of any size, of which all signs are gone through
_MOST = 20_000  # of the sum of |d|, up to which the distribution is computed


def sign_p(changes: NDArray[np.int64]) -> float:
    """The exact p of changes by cluster, two-sided.

    Args:
        changes: answers won less answers lost, of each cluster; shape (clusters,).
    """
    sizes, counts = np.unique(np.abs(changes[changes != 0]), return_counts=True)
    total = abs(int(changes.sum()))
    if total == 0:
        return 1.0
    if len(sizes) == 1:
        size, count = int(sizes[0]), int(counts[0])
        less = (count - total // size) // 2  # of the signs are the rarer one
        return min(1.0, 2 * float(bdtr(less, count, 0.5)))
    whole = int(sizes @ counts)
    if whole > _MOST:
        spread = float(np.sqrt(np.sum(sizes**2 * counts)))
        return float(2 * ndtr(-(total - 1) / spread))
    chances = np.ones(1)  # of Σ ±|d| = −whole … whole
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        apart = np.zeros(2 * size * count + 1)
        apart[:: 2 * size] = _binomial(count)
        chances = np.convolve(chances, apart)
    values = np.arange(-whole, whole + 1)
    return min(1.0, float(chances[np.abs(values) >= total].sum()))


def few_p(changes: Array) -> float | None:
    """As `sign_p`, of changes of any size; None where they are too many to go through.

    Args:
        changes: of each cluster, what it adds to the difference; shape (clusters,).
    """
    moved = np.abs(changes[changes != 0])
    if len(moved) > _FEW:
        return None
    sums = np.zeros(1)
    for each in moved:
        sums = np.concatenate([sums - each, sums + each])
    least = abs(float(changes.sum())) - 1e-9 * float(moved.sum())
    return float((np.abs(sums) >= least).mean())


def _binomial(count: int) -> Array:
    """The chances of 0 … count heads in as many tosses."""
    heads = np.arange(count + 1)
    logs = gammaln(count + 1) - gammaln(heads + 1) - gammaln(count - heads + 1)
    found: Array = np.exp(logs - count * np.log(2))
    return found


def t_p(estimate: float, error: float, freedom: float) -> float:
    """Student's p of an estimate, two-sided; NaN where its error is not known."""
    if np.isnan(error):
        return float("nan")
    if estimate == 0:
        return 1.0
    if error == 0:  # every document changed alike: no rarer than one toss for each
        return float(2.0 ** -min(freedom, 1000.0))
    return float(2 * stdtr(freedom, -abs(estimate) / error))


def holm(p: Sequence[float]) -> list[float]:
    """P corrected for so many tests (Holm 1979); of what has none, none."""
    found = np.full(len(p), np.nan)
    known = [place for place in np.argsort(p, kind="stable").tolist() if not np.isnan(p[place])]
    least = 0.0
    for rank, place in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * p[place]))
        found[place] = least
    return [float(each) for each in found]
