"""What a choice of λ found, as records; `analysis.words` says it.

The verdict on a rule's candidate is one of

    better             the band of all λ at once is above 0 at the candidate
    kept               the candidate is λ = 1 itself
    indistinguishable  the band leaves out 0 at no λ that may be chosen
    unclear            it does, but not at the candidate
    needed             no λ that may be chosen is shown to be better than λ = 1, which may not be
    few                there are fewer than `FEWEST` clusters of documents: nothing is concluded
    none               no λ may be chosen: none keeps what must be kept with the confidence asked
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.intervals import TIE
from pa_harness.markdown import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pa_harness.analysis.constraints import Kept
    from pa_harness.analysis.crossfit import Gain
    from pa_harness.analysis.intervals import Array, Intervals

FEWEST = 20


@dataclass(frozen=True)
class Choice:
    """One way of choosing and what it chose. Values are in the objective's own unit."""

    rule: str  # best, constrained, weighted or asked
    meaning: str  # the rule in words
    objective: str  # the average that is maximised
    lam: float  # the candidate where it is better or needed, NaN where none may be, else 1
    candidate: float  # the best that may be chosen, by the smoothed curve
    value: float  # of the objective at the candidate
    instruct_value: float  # of the objective at λ = 1
    difference: float  # of the two, as measured: flatters
    low: float  # of the 95% band of all λ at the candidate
    high: float
    detectable: float  # difference that the band would have found in 80% of such sweeps
    gain: Gain  # of choosing so
    often: tuple[float, ...]  # share of folds that chose each λ
    instruction_change: Gain  # of choosing so, in IF; NaN without instruction tasks
    kept: tuple[Kept, ...]  # each constraint at each λ
    confidence: float  # with which all constraints are kept together
    admitted: tuple[bool, ...]  # λ that may be chosen
    documents: int  # of the objective
    clusters: int
    verdict: str  # in a word
    sentence: str
    same: bool = False  # no document differs from λ = 1 at any λ

    @property
    def scale(self) -> Scale:
        """Of the objective."""
        return Scale.of((self.value, self.instruct_value))

    def may(self, row: int) -> str:
        """Whether a λ may be chosen, in words."""
        if self.admitted[row]:
            return "yes"
        return "no: not reached" if all(kept.sure[row] for kept in self.kept) else "no"


@dataclass(frozen=True)
class Axis:
    """An average along λ; `less` says that less of it is better."""

    name: str
    values: tuple[float, ...]
    less: bool = False


@dataclass(frozen=True)
class Choices:
    """Every choice that the sweep allows, and the Pareto front of two averages."""

    label: str
    lams: tuple[float, ...]
    choices: tuple[Choice, ...]
    pareto: tuple[float, ...]  # λ that no other λ beats in both; empty without a second
    on_front: tuple[float, ...]  # by λ: share of draws of both averages in which it is one of them
    instruction: str  # what IF is the mean of
    axes: tuple[Axis, ...] = ()  # of the front: what is made best, and what is kept
    maximize: str = ""  # as it was asked for; empty: nothing was
    keep: tuple[str, ...] = ()  # likewise
    mine: bool = False  # λ = 1 is the user's fine-tune, λ = 0 its parent

    @property
    def chosen(self) -> float | None:
        """The λ of the first rule; None where it may name none, or documents are too few."""
        first = self.choices[0]
        return None if math.isnan(first.lam) or first.verdict == "few" else first.lam


def verdict_of(
    band: Intervals, free: NDArray[np.bool_], place: int, one: int, clusters: int
) -> str:
    """The verdict, in a word.

    Args:
        band: of the differences to λ = 1.
        free: which λ may be chosen, shape (λ,).
        place: of the candidate.
        one: of λ = 1.
        clusters: that the documents are of.
    """
    if not free.any():
        return "none"
    if clusters < FEWEST and free[one]:
        return "few"
    if clusters >= FEWEST and band.band_low[place] > 0:
        return "better"
    if place == one:
        return "kept"
    if not free[one]:
        return "needed"
    apart = (band.band_low > 0) | (band.band_high < 0)
    return "unclear" if apart[free].any() else "indistinguishable"


def unbeaten(first: Array, second: Array) -> NDArray[np.bool_]:
    """Which λ none is better than in one and as good in the other, shape (draws, λ)."""
    as_good = (first[:, None] >= first[..., None]) & (second[:, None] >= second[..., None])
    better = (first[:, None] > first[..., None]) | (second[:, None] > second[..., None])
    found: NDArray[np.bool_] = np.logical_not((as_good & better).any(axis=2))
    return found


def beyond_noise(found: Intervals, reach: float) -> Intervals:
    """Differences, of which those smaller than `TIE` are none.

    Args:
        found: the differences.
        reach: the largest that there can be.
    """
    none = (np.abs(found.estimate) <= TIE * reach) & (found.error <= TIE * reach)

    def cut(ends: Array) -> Array:
        return np.where(none & (np.abs(ends) <= TIE * reach), 0.0, ends)

    return replace(
        found,
        estimate=cut(found.estimate),
        error=cut(found.error),
        low=cut(found.low),
        high=cut(found.high),
        band_low=np.where(none, np.minimum(cut(found.band_low), 0), found.band_low),
        band_high=np.where(none, np.maximum(cut(found.band_high), 0), found.band_high),
    )
