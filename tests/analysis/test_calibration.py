"""The calibration error against all pairs of documents, and against known truth."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from pa_harness.analysis.calibration import BINS, calibration_error, squared_gap
from pa_harness.analysis.frame import Frame, Groups
from pa_harness.analysis.trajectory import TaskCurve, even_suite


def by_pairs(confidence: np.ndarray, hit: np.ndarray, units: np.ndarray) -> float:
    """Σ_bins n_bin/n · mean over pairs, of different clusters, of the product of their gaps."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap, total = hit - confidence, 0.0
    for one in np.unique(bins):
        inside = np.flatnonzero(bins == one)
        pairs = [gap[a] * gap[b] for a, b in combinations(inside, 2) if units[a] != units[b]]
        if pairs:
            total += len(inside) / len(bins) * float(np.mean(pairs))
    return total


def test_against_all_pairs_and_by_leaving_clusters_out() -> None:
    random = np.random.default_rng(0)
    confidence = 0.25 + 0.75 * random.random(40)
    hit = (random.random(40) < 0.5).astype(float)
    units = np.arange(40) // 3
    found, influence = squared_gap(Groups(units), confidence, hit)
    assert found == pytest.approx(by_pairs(confidence, hit, units))
    kept = [units != unit for unit in range(14)]
    without = np.array([by_pairs(confidence[k], hit[k], units[k]) for k in kept])
    variance = 13 / 14 * ((without - without.mean()) ** 2).sum()
    assert (influence**2).sum() == pytest.approx(variance)


@pytest.mark.parametrize(
    ("tasks", "documents", "passage", "bias"),
    [(1, 200, 1, 0.0), (1, 1000, 1, 0.15), (8, 200, 1, 0.0), (8, 200, 5, 0.2), (8, 200, 1, 0.1)],
)
def test_the_interval_holds_the_truth(
    tasks: int, documents: int, passage: int, bias: float
) -> None:
    """Calibrated and over-confident, one task and many, in passages or not.

    Where the truth is known: every confidence is the middle of a bin, and right `bias` less often.
    """
    random, held, seen = np.random.default_rng(1), [], []
    for _ in range(150):
        found = []
        for number in range(tasks):
            confidence = (random.integers(7, 15, size=documents) + 0.5) / BINS
            units = np.arange(documents) // passage
            chance = random.random(units[-1] + 1)[units]  # a passage is right or wrong as one
            hit = (chance < confidence - bias).astype(float)
            more = {"confidence,options": confidence[None], "hit,options": hit[None]}
            name = str(number)
            found.append(
                TaskCurve(
                    *(name, name, "c", "acc,none", hit[None], np.arange(documents), more),
                    clusters=units + 10_000 * number,
                )
            )
        aside = calibration_error(Frame(found), even_suite("x", found))
        held.append(aside.low[0] <= bias <= aside.high[0])
        seen.append(aside.estimate[0] ** 2 if aside.estimate[0] > 0 else 0.0)
    assert np.mean(held) >= 0.93
    assert np.sqrt(np.mean(seen)) == pytest.approx(bias, abs=0.06)
