"""Numbers along λ with what every unit of the sample adds to them, and the intervals of those."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.intervals import (
    LEVEL,
    POWER,
    TIE,
    Intervals,
    Pointwise,
    band_factor,
    critical,
    score_bounds,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.analysis.intervals import Array

Source = tuple[str, str]  # of chance: ("documents", of which set) or ("demonstrations", of a task)


@dataclass(frozen=True)
class Measure:
    """Numbers, one for each λ, and what each unit of the sample adds to them.

    Attributes:
        estimate: shape (λ,).
        influence: by source of chance, shape (λ, units): the sum over units of their squares is
            the variance; NaN where one unit is all.
        freedom: degrees of freedom by source: units − 1.
        scale: variance that one unit of change brings, shape (λ,) (`analysis.intervals`).
        reach: the largest magnitude there can be; 1 for fractions.
    """

    estimate: Array
    influence: Mapping[Source, Array]
    freedom: Mapping[Source, int]
    scale: Array
    reach: float

    @property
    def variance(self) -> Array:
        """Of each number, shape (λ,)."""
        found: Array = np.sum([*self._variances.values()], axis=0)
        return found

    @property
    def covariance(self) -> Array:
        """Of the numbers, shape (λ, λ)."""
        return self.covariance_with(self)

    def covariance_with(self, other: Measure) -> Array:
        """With another's numbers, which may rest on the same units, shape (λ, λ of the other)."""
        whole = np.zeros((len(self.estimate), len(other.estimate)))
        for source in self.influence.keys() & other.influence.keys():
            whole += self.influence[source] @ other.influence[source].T
        return whole

    @property
    def degrees(self) -> Array:
        """Degrees of freedom of each variance (Satterthwaite 1946), shape (λ,)."""
        parts, whole = self._variances, self.variance
        most = np.full(whole.shape, float(sum(self.freedom.values())))
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = sum(part**2 / self.freedom[name] for name, part in parts.items())
            found: Array = np.where(whole == 0, most, whole**2 / spread)
        return found

    @property
    def _variances(self) -> dict[Source, Array]:
        return {name: (part**2).sum(axis=1) for name, part in self.influence.items()}


def differences(found: Measure) -> Intervals:
    """Differences to one λ, with intervals at each λ and the band for all."""
    t, error = critical(found.degrees), np.sqrt(found.variance)
    factor = band_factor(found.covariance, float(np.min(found.degrees)))
    band = difference_bounds(found, np.maximum(factor, t))
    return Intervals(found.estimate, *difference_bounds(found, t), error, *band, factor)


def values(found: Measure, *, fraction: bool) -> Pointwise:
    """Means with intervals at each λ.

    Args:
        found: the means.
        fraction: whether they lie between 0 and 1 by their nature.
    """
    error, t = np.sqrt(found.variance), critical(found.degrees)
    if fraction:
        return Pointwise(found.estimate, *level_bounds(found, t), error)
    return Pointwise(found.estimate, found.estimate - t * error, found.estimate + t * error, error)


def percent(found: Measure, row: int, absolute: Intervals) -> Intervals | None:
    """100 (v/v(row) − 1), with intervals; None where v(row) may be 0.

    An end is never nearer to 0 than the difference's own, so that both say the same of 0.

    Args:
        found: the numbers v.
        row: of the divisor.
        absolute: v − v(row).
    """
    t = critical(found.degrees)
    pointwise, band = (
        [100 * (end - 1) for end in ratio_bounds(found, row, factor)]
        for factor in (t, np.maximum(absolute.factor, t))
    )
    if found.estimate[row] <= 0 or np.isnan([pointwise, band]).any():
        return None
    part = 100 / found.estimate[row]
    return Intervals(
        part * absolute.estimate,
        *(
            np.minimum(pointwise[0], part * absolute.low),
            np.maximum(pointwise[1], part * absolute.high),
        ),
        part * absolute.error,
        np.minimum(band[0], part * absolute.band_low),
        np.maximum(band[1], part * absolute.band_high),
        absolute.factor,
    )


def clear_of(found: Measure, tests: int) -> tuple[bool, ...]:
    """Whether 0 is outside at each λ, at a level for so many differences (Bonferroni)."""
    low, high = difference_bounds(found, critical(found.degrees, 1 - (1 - LEVEL) / max(tests, 1)))
    none = TIE * found.reach
    return tuple(bool(each) for each in (low > none) | (high < -none))


def detectable(found: Measure, factor: Array | float) -> Array:
    """The difference that 80% of such samples would have shown, shape (λ,).

    That is (c + POWER) √V; but a difference h needs documents that changed, whose variance is at
    least s h (1 − h) (`analysis.intervals`): a sample's x leaves out 0 from x = c √(s x) on, which
    80% of samples are above if √h = √s (POWER + √(POWER² + 4 c²)) / 2.

    Args:
        found: differences.
        factor: the critical value by which they are judged.
    """
    kappa = (POWER + np.sqrt(POWER**2 + 4 * factor**2)) ** 2 / 4 * found.scale / found.reach
    least = found.reach * kappa / (1 + kappa)
    shown: Array = np.maximum((factor + POWER) * np.sqrt(found.variance), least)
    return np.where(shown <= TIE * found.reach, 0.0, shown)


def difference_bounds(found: Measure, factor: Array | float) -> tuple[Array, Array]:
    """Low and high of differences; see `analysis.intervals`.

    Args:
        found: the differences.
        factor: the critical value c, one or shape (λ,).
    """
    part, kappa = found.estimate / found.reach, factor**2 * found.scale / found.reach
    wald = factor * np.sqrt(found.variance) / found.reach
    low_up, high_up = score_bounds(part, kappa)
    low_down, high_down = score_bounds(-part, kappa)
    low, high = np.fmin(part - wald, -high_down), np.fmax(part + wald, high_up)
    low = np.where(part > 0, np.fmin(low, low_up), low)
    high = np.where(part < 0, np.fmax(high, -low_down), high)
    known = np.where(np.isnan(found.variance), np.nan, found.reach)
    return known * np.maximum(low, -1), known * np.minimum(high, 1)


def level_bounds(found: Measure, factor: Array | float) -> tuple[Array, Array]:
    """Low and high of means from 0 to 1: Wilson's, for the documents that give this variance.

    Args:
        found: the means.
        factor: the critical value, one or shape (λ,).
    """
    x, variance = found.estimate, found.variance
    room = x * (1 - x)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where((variance > 0) & (room > 0), variance / room, found.scale)
    low, high = score_bounds(x, factor**2 * each)
    unknown = np.isnan(variance)
    return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def quotient(above: Measure, below: Measure) -> Pointwise:
    """Above / below at each λ, with intervals (Fieller 1954); NaN ends where below may be 0.

    Args:
        above: numbers of the same units as `below`.
        below: positive numbers.
    """
    degrees = np.minimum(above.degrees, below.degrees)
    covariance = np.diag(above.covariance_with(below))
    found = []
    for row, (a, b) in enumerate(zip(above.estimate, below.estimate, strict=True)):
        pair = np.array([a, b])
        joint = np.array(
            [[above.variance[row], covariance[row]], [covariance[row], below.variance[row]]]
        )
        low, high = fieller(pair, joint, 1, critical(degrees[row]))
        slope = np.array([1 / b, -a / b**2]) if b > 0 else np.full(2, np.nan)
        found.append((slope[0] * a, low[0], high[0], np.sqrt(slope @ joint @ slope)))
    estimate, low, high, error = np.array(found).T
    return Pointwise(estimate, low, high, error)


def ratio_bounds(found: Measure, row: int, factor: Array | float) -> tuple[Array, Array]:
    """Low and high of each number over that of one row (Fieller 1954); NaN where that may be 0.

    Args:
        found: the numbers.
        row: of the divisor.
        factor: the critical value, one or shape (λ,).
    """
    return fieller(found.estimate, found.covariance, row, factor)


def fieller(x: Array, covariance: Array, row: int, factor: Array | float) -> tuple[Array, Array]:
    """`ratio_bounds` of numbers with this covariance."""
    square = factor**2
    below = x[row] ** 2 - square * covariance[row, row]
    middle = x * x[row] - square * covariance[:, row]
    product = x**2 - square * np.diag(covariance)
    half = np.sqrt(np.maximum(middle**2 - below * product, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = (middle - half) / below, (middle + half) / below
    return np.where(below > 0, low, np.nan), np.where(below > 0, high, np.nan)
