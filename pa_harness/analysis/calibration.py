"""Does a model know when it is right? From the option log-likelihoods of multiple-choice samples.

The probability of an option is the softmax of the options' summed log-likelihoods. Documents are
put in bins by the probability of the likeliest option; what is reported is

    √( Σ_bins n_bin/n · gap_bin² ),   gap_bin = share that is right − mean probability,

the root-mean-square calibration error, which is never below the expected calibration error
(ECE = Σ n_bin/n |gap_bin|) of the same bins. Chance alone makes gaps, so that the plain sum is
above the truth where documents are few: of a calibrated model with 200 documents the plain ECE is
about 0.08. gap_bin² is therefore taken from pairs of documents of different clusters,

    (A² − Σ_clusters a²) / (n_bin² − Σ_clusters n²),   A, a: sums of hit − probability,

whose mean is right (Kumar, Liang and Ma 2019, "Verified uncertainty calibration"); it may be below
0. Squares are averaged over tasks, their intervals are the jackknife's over clusters, and the root
is taken last, of negative numbers as 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.intervals import Pointwise, critical

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pa_harness.analysis.frame import Frame, Groups
    from pa_harness.analysis.intervals import Array
    from pa_harness.analysis.trajectory import Suite, TaskCurve

# Of equal width from 0 to 1 (Guo et al. 2017, "On Calibration of Modern Neural Networks").
BINS = 15


def calibration_error(frame: Frame, suite: Suite) -> Pointwise:
    """The root-mean-square calibration error of an average, along λ.

    Args:
        frame: of the average's tasks.
        suite: whose tasks have options.
    """
    found = frame.combine(suite, _of_task)
    half = critical(found.degrees) * np.sqrt(found.variance)
    ends = (found.estimate, found.estimate - half, found.estimate + half)
    estimate, low, high = (np.sqrt(np.maximum(each, 0)) for each in ends)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(estimate > 0, np.sqrt(found.variance) / (2 * estimate), np.nan)
    return Pointwise(estimate, low, high, error)


def _of_task(task: TaskCurve, groups: Groups) -> tuple[Array, Array]:
    """Mean squared gap at each λ, and what leaving each cluster out changes."""
    confidence, hit = task.more["confidence,options"], task.more["hit,options"]
    found = [squared_gap(groups, *rows) for rows in zip(confidence, hit, strict=True)]
    return np.array([each for each, _ in found]), np.array([change for _, change in found])


def squared_gap(groups: Groups, confidence: Array, hit: Array) -> tuple[float, Array]:
    """Σ_bins n_bin/n · gap_bin² at one λ, with a mean that is right.

    Args:
        groups: the documents by cluster.
        confidence: probability of the likeliest option, shape (documents,).
        hit: 1 where that option is right, else 0, same shape.

    Returns:
        The number, and what leaving each cluster out changes, shape (clusters,); scaled so that
        the sum of squares is the variance.
    """
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    inside = (bins == np.arange(BINS)[:, None]).astype(np.float64)
    sums, counts = groups.sums(inside * (hit - confidence)), groups.sums(inside)
    parts = np.array([sums, sums**2, counts, counts**2])
    whole = parts.sum(axis=2, keepdims=True)
    estimate = _from_sums(whole, np.array([len(bins)]))
    without = _from_sums(whole - parts, len(bins) - groups.documents)
    size = len(groups.present)
    if size < 2:
        return float(estimate[0]), np.full(size, np.nan)
    return float(estimate[0]), (without.mean() - without) * np.sqrt((size - 1) / size)


def _from_sums(sums: Array, documents: NDArray[np.int64]) -> Array:
    """The sum over bins.

    Args:
        sums: over clusters of gaps, their squares, counts and their squares, shape (4, bins, n).
        documents: in all bins, shape (n,).
    """
    gap, gap_2, count, count_2 = sums
    pairs = count**2 - count_2
    with np.errstate(divide="ignore", invalid="ignore"):
        each = count / documents * (gap**2 - gap_2) / pairs
    total: Array = np.where(pairs > 0.5, each, 0.0).sum(axis=0)
    return total
