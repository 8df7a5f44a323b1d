"""Averages along λ taken as points of a curve: what noise each has, and what neighbours say of it.

The curve has a Gaussian prior: any level; around it a curve of unknown size and length; and at
λ = 1, where the weights are the instruct model's own, a level of its own of unknown size. Sizes and
lengths are summed out over a table, their marginal likelihoods as weights. Short lengths are in the
table, so that a cliff is not smoothed away. The curve is smooth (squared exponential), or may have
kinks (Matérn 3/2): the first names the better λ, the second is as sure as it is right where a curve
rises fast and falls slowly, whose top the first would round.
(Rasmussen and Williams 2006, chapter 2 and sections 4.2 and 5.4.)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pa_harness.analysis.intervals import Array

_SIZES = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16)  # standard deviation of the curve
_LENGTHS = (0.08, 0.15, 0.25, 0.4, 0.7)  # over which it bends
_OWN = (0.0, 0.01, 0.03)  # standard deviation of what λ = 1 has for itself
_LEVEL = 1.0  # standard deviation of the level, which is a fraction: nothing is known of it


@dataclass(frozen=True)
class Posterior:
    """What observations say of the curve at each λ, for every size and length of the table.

    Attributes:
        weights: of the table's entries, shape (curves, entries).
        means: shape (curves, entries, λ).
        covariances: shape (entries, λ, λ).
    """

    weights: Array
    means: Array
    covariances: Array

    @property
    def mean(self) -> Array:
        """Shape (curves, λ)."""
        found: Array = np.einsum("ch,chl->cl", self.weights, self.means)
        return found


def posterior(
    lams: Array,
    places: NDArray[np.int64],
    seen: Array,
    errors: Array,
    unit: float = 1.0,
    *,
    kinks: bool = False,
) -> Posterior:
    """The posterior on a grid.

    Args:
        lams: the grid, shape (λ,).
        places: of the observations in the grid, shape (n,).
        seen: what was observed; several curves at once, shape (curves, n).
        errors: covariance of the observations' errors, shape (n, n).
        unit: what 1 is of a fraction, in the average's own unit.
        kinks: whether the curve may have some.
    """
    priors = _priors(lams, kinks=kinks)
    centre = seen.mean(axis=1, keepdims=True)
    off = (seen - centre) / unit
    total = priors[:, places][:, :, places] + errors / unit**2 + 1e-10 * np.eye(len(places))
    inverse = np.linalg.inv(total)
    logs = -0.5 * np.einsum("cn,hnm,cm->ch", off, inverse, off, optimize=True)
    logs -= 0.5 * np.linalg.slogdet(total)[1]
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    gain = priors[:, :, places] @ inverse
    means = np.einsum("hln,cn->chl", gain, off, optimize=True)
    covariances = priors - gain @ priors[:, places]
    return Posterior(weights, unit * means + centre[:, :, None], unit**2 * covariances)


def _priors(lams: Array, *, kinks: bool) -> Array:
    """The covariance of every entry of the table, shape (entries, λ, λ)."""
    apart = np.abs(lams[:, None] - lams[None, :])
    own = np.diag((lams == 1).astype(np.float64))

    def alike(far: Array) -> Array:
        if kinks:
            return np.asarray((1 + np.sqrt(3) * far) * np.exp(-np.sqrt(3) * far))
        return np.asarray(np.exp(-0.5 * far**2))

    return np.array(
        [
            _LEVEL**2 + size**2 * alike(apart / length) + alone**2 * own
            for size, length, alone in product(_SIZES, _LENGTHS, _OWN)
        ]
    )


def unit_of(means: Array) -> float:
    """What 1 is of a fraction: 1, or for other numbers ten times their range along λ.

    Args:
        means: shape (λ,).
    """
    most, apart = float(np.abs(means).max()), float(np.ptp(means))
    return 1.0 if most <= 1 or apart <= 1e-9 * most else 10 * apart
