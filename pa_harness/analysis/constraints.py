"""What is to be kept, how likely each λ keeps it, and which λ may be chosen.

A constraint bounds a number m (IF, a task, a measured cost) at the chosen λ by a share of what it
is at a reference λ, or by a fixed number. With the margin g of m(λ) within the bound and √V its
standard error, paired by document,

    P(kept) = P(t ≤ g / √V),

Student's t: the confidence with which the documents say that the bound is kept for documents of
their kind. V is at least what the bound itself implies where few documents changed
(`analysis.intervals`): that none of 100 answers changed does not show that 99% are kept.

The best of several λ that each seem to keep a promise is a lucky one. So λ are tested in an order
that does not depend on the answers, from the reference λ outwards, and only those before the first
failure may be chosen. A λ that breaks the promise is then admitted in at most 1 − confidence of
sweeps, however many λ there are and however the choice among the admitted is made (fixed-sequence
testing: Maurer, Hothorn and Lehmacher 1995; for choosing among models: Angelopoulos et al. 2021,
"Learn then Test", arXiv 2110.01052). Several constraints with one reference are tested together;
those with other references have an order of their own, and the orders share 1 − confidence. A
fixed number has two orders, from λ = 1 down and from λ = 0 up, either of which may admit a λ. With
k orders each λ is tested at the level 1 − (1 − confidence) / k; what is shown as certain is so at
that level (`Kept.level`). Of a reference value of 0 no share is defined: P(kept) is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtr

from pa_harness.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pa_harness.analysis.frame import Frame
    from pa_harness.analysis.intervals import Array
    from pa_harness.analysis.measure import Measure
    from pa_harness.analysis.trajectory import Suite

CONFIDENCE = 0.9
_STEPS = 50  # halvings of the interval in which a bound is looked for


@dataclass(frozen=True)
class Constraint:
    """``name`` at least (or at most) ``share`` of its value at λ = ``of``.

    Of a negative value, such as a log-likelihood, the share is of its magnitude: at least 98% is
    at most 2% of |value| below it. With `of` None the bound is the number `share` itself.
    """

    name: str
    share: float
    of: float | None = 1.0
    at_least: bool = True

    @property
    def text(self) -> str:
        """As people write it."""
        sign = "≥" if self.at_least else "≤"
        if self.of is None:
            return f"{self.name} {sign} {self.share:g}"
        return f"{self.name} {sign} {100 * self.share:g}% of {self.name}({self.of:g})"


@dataclass(frozen=True)
class Kept:
    """How sure a constraint is at each λ, as records.

    Attributes:
        constraint: in words.
        share: whether it bounds a share of a number; else the number itself.
        probability: P(kept), by λ.
        certified: by λ, the strictest share (or number) that is kept with `level`.
        documents: that it rests on.
        clusters: that these are of.
        level: P(kept) from which on a λ passes, so that all is kept with the confidence asked.
        starts: the λ from which on, outwards, they are tried.
        at_least: whether it bounds from below.
    """

    constraint: str
    share: bool
    probability: tuple[float, ...]
    certified: tuple[float, ...]
    documents: int
    clusters: int
    level: float
    starts: tuple[float, ...]
    at_least: bool = True

    @property
    def sure(self) -> tuple[bool, ...]:
        """By λ, whether it passes."""
        return tuple(each >= self.level for each in self.probability)

    def bound(self, row: int) -> str:
        """What is certain at one λ, in words."""
        found = self.certified[row]
        if math.isnan(found):
            return "–"
        return f"{100 * found:.1f}%" if self.share else f"{found:.4g}"


class Promise:
    """A constraint on an average of a sweep."""

    def __init__(
        self, constraint: Constraint, frame: Frame, suite: Suite, lams: Array, key: str = ""
    ) -> None:
        """Look at the documents.

        Args:
            constraint: what is to be kept.
            frame: of the sweep's tasks.
            suite: the average that is bounded.
            lams: of the sweep; it must have the constraint's `of`.
            key: another metric of the suite's tasks than the main one.
        """
        self.constraint, self.suite, self.key = constraint, suite, key
        self._found, self._clusters = frame.measure(suite, key), frame.clusters(suite)
        self._covariance, self._degrees = self._found.covariance, self._found.degrees
        self._scale, self._row = _scale_of_levels(self._found), None
        if constraint.of is not None:
            self._row = int(np.searchsorted(lams, constraint.of))
            self._scale = frame.against(suite, self._row, key).scale

    @property
    def starts(self) -> tuple[float, ...]:
        """The λ from which on it is tested; a fixed number may be kept at either end alone."""
        return (1.0, 0.0) if self.constraint.of is None else (self.constraint.of,)

    def probability(self, means: Array, inflation: float = 1.0) -> Array:
        """P(kept) of one or several curves.

        Args:
            means: the number at each λ, shape (curves, λ).
            inflation: of the variances: 2 where the means are of half of the documents.

        Returns:
            Shape (curves, λ).
        """
        return self._probability(means, np.full(means.shape[1], self.constraint.share), inflation)

    def kept(self, level: float) -> Kept:
        """P(kept) at each λ, and what else could be kept with `level`, from all documents."""
        means = self._found.estimate[None]
        tasks = self.suite.tasks
        return Kept(
            *(self.constraint.text, self.constraint.of is not None),
            tuple(self.probability(means)[0].tolist()),
            tuple(self._certified(means, level).tolist()),
            documents=sum(task.values.shape[1] for task in tasks),
            clusters=self._clusters,
            level=level,
            starts=self.starts,
            at_least=self.constraint.at_least,
        )

    def _certified(self, means: Array, level: float) -> Array:
        """By bisection: P(kept) falls as a bound is made stricter."""
        strict = 1.0 if self.constraint.at_least else -1.0
        size = 2.0 if self._row is not None else 1 + 2 * float(np.abs(means).max())
        loose, tight = (
            np.full(means.shape[1], -strict * size),
            np.full(means.shape[1], strict * size),
        )
        for _ in range(_STEPS):
            middle = (loose + tight) / 2
            sure = self._probability(means, middle, 1.0)[0] >= level
            loose, tight = np.where(sure, middle, loose), np.where(sure, tight, middle)
        undefined = self._row is not None and means[0, self._row] == 0
        return np.full_like(loose, np.nan) if undefined else loose

    def _probability(self, means: Array, share: Array, inflation: float) -> Array:
        sign = 1.0 if self.constraint.at_least else -1.0
        variance = np.diag(self._covariance)
        if self._row is None:
            bound = assumed = np.broadcast_to(share, means.shape)
        else:
            one = means[:, [self._row]]
            factor = np.where(one >= 0, share, 2 - share)
            bound, assumed = factor * one, np.abs((1 - factor) * one)
            beside = self._covariance[:, self._row]
            variance = variance - 2 * factor * beside + factor**2 * beside[self._row]
        part = np.clip(assumed / self._found.reach, 0, 1)
        least = self._scale * self._found.reach * part * (1 - part)
        spread = np.sqrt(inflation * np.maximum(variance, least))
        margin = sign * (means - bound)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = stdtr(self._degrees, margin / spread)
        found = np.where(spread > 0, found, (1 + np.sign(margin)) / 2)
        if self._row is not None:  # against itself nothing is to be learnt
            found[:, self._row] = sign * (1 - share[self._row]) >= 0
            found[means[:, self._row] == 0] = np.nan
        return found


def _scale_of_levels(found: Measure) -> Array:
    """Variance that one unit brings, from the documents' own where they have any."""
    part = found.estimate / found.reach
    with np.errstate(divide="ignore", invalid="ignore"):
        own = found.variance / (found.reach * part * (1 - part))
    return np.where(np.isfinite(own) & (own > 0), own, found.scale)


def check_shares(tolerance: float, confidence: float) -> None:
    """Refuse a tolerance or a confidence that is none.

    Raises:
        RunError: it is so.
    """
    if not 0 <= tolerance < 1:
        raise RunError(
            f"--tolerance {tolerance:g}: expected a share of IF(1) that may be lost, from 0 to 1, "
            "as 0.02 for 2%."
        )
    if not 0.5 <= confidence < 1:
        raise RunError(
            f"--confidence {confidence:g}: expected how sure a constraint is to be kept, from 0.5 "
            "(as likely as not) to below 1, as 0.9."
        )


def level_of(promises: Sequence[Promise], confidence: float) -> float:
    """P(kept) from which on a λ passes: the orders in which λ are tried share 1 − confidence."""
    orders = sum(len(starts) for starts in {promise.starts for promise in promises})
    return 1 - (1 - confidence) / max(orders, 1)


def admitted(
    promises: Sequence[Promise], probabilities: Sequence[Array], lams: Array, confidence: float
) -> NDArray[np.bool_]:
    """The λ that may be chosen, shape (curves, λ).

    Args:
        promises: what is to be kept.
        probabilities: of each, shape (curves, λ).
        lams: shape (λ,).
        confidence: with which all is kept.
    """
    level = level_of(promises, confidence)
    found = np.ones((1, len(lams)), dtype=bool)
    for starts in sorted({promise.starts for promise in promises}):
        of_it = [
            p for each, p in zip(promises, probabilities, strict=True) if each.starts == starts
        ]
        sure = np.min(of_it, axis=0) >= level
        found = found & np.any([_before_failing(sure, lams, start) for start in starts], axis=0)
    return found


def _before_failing(sure: NDArray[np.bool_], lams: Array, start: float) -> NDArray[np.bool_]:
    """Which λ come before the first that is not sure, from `start` outwards."""
    order = np.argsort(np.abs(lams - start), kind="stable")
    before = np.cumprod(sure[:, order], axis=1).astype(bool)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    found: NDArray[np.bool_] = before[:, place]
    return found
