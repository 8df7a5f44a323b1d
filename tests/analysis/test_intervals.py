"""Intervals against other calculations of the same, and where they are hardest: edges and few."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pa_harness.analysis.frame import Frame
from pa_harness.analysis.intervals import band_factor, critical, score_bounds
from pa_harness.analysis.measure import clear_of, differences, percent, ratio_bounds, values
from pa_harness.analysis.trajectory import TaskCurve, even_suite


def measured(numbers: Any, row: int | None = None) -> Any:
    array = np.asarray(numbers, dtype=float)
    task = TaskCurve("a", "a", "c", "acc,none", array, np.arange(array.shape[1]))
    frame, suite = Frame([task]), even_suite("a", [task])
    return frame.measure(suite) if row is None else frame.against(suite, row)


def test_a_share_has_wilsons_interval() -> None:
    right = np.array([[1.0] * 29 + [0.0], [1.0] * 30, [1.0] * 12 + [0.0] * 18])
    found = values(measured(right), fraction=True)
    t = float(critical(29))
    for row, successes in enumerate((29, 30, 12)):
        p, n = successes / 30, 29  # the unbiased variance is that of n − 1 documents
        if successes == 30:
            n = 30
        centre = (p + t**2 / (2 * n)) / (1 + t**2 / n)
        half = t / (1 + t**2 / n) * np.sqrt(p * (1 - p) / n + t**2 / (4 * n**2))
        assert found.low[row] == pytest.approx(centre - half)
        assert found.high[row] == pytest.approx(centre + half)
    assert found.low[1] < 0.9
    assert found.high[1] == 1


def test_shares_near_one_are_covered() -> None:
    """n = 30, p = 0.99, exactly: over all outcomes with their probabilities."""
    held = 0.0
    for wrong in range(31):
        row = [[0.0] * wrong + [1.0] * (30 - wrong)]
        found = values(measured(row), fraction=True)
        chance = comb(30, wrong) * 0.01**wrong * 0.99 ** (30 - wrong)
        held += chance * bool(found.low[0] <= 0.99 <= found.high[0])
    assert held > 0.93


@pytest.mark.parametrize("share", [0.005, 0.01, 0.03, 0.2])
def test_few_flips_are_covered(share: float) -> None:
    """n = 200, flips both ways alike: from multinomial draws with known probabilities."""
    random = np.random.default_rng(int(1000 * share))
    held = []
    for _ in range(300):
        flips = random.choice([-1.0, 0.0, 1.0], 200, p=[share / 2, 1 - share, share / 2])
        found = differences(measured([np.maximum(flips, 0), np.maximum(-flips, 0)], 1))
        held.append(found.low[0] <= 0 <= found.high[0])
    assert np.mean(held) > 0.93


def test_nothing_changed_is_not_no_uncertainty() -> None:
    found = differences(measured(np.ones((3, 100)), 2))
    assert found.error[0] == 0
    assert 0.02 < found.high[0] < 0.06
    assert found.low[0] == -found.high[0]
    assert found.low[2] == found.high[2] == 0, "λ = 1 against itself"


def test_two_and_three_documents() -> None:
    two = differences(measured([[1, 1], [0, 0]], 1))
    assert (two.low[0], two.high[0]) < (0, 1.01)
    assert two.low[0] <= 0, "two documents show nothing"
    three = differences(measured([[1, 1, 1], [0, 0, 0]], 1))
    assert three.high[0] - three.low[0] > 0.3


def test_score_bounds_solve_their_equation() -> None:
    x, kappa = np.array([0.0, 0.2, 1.0]), np.array([0.1, 0.02, 0.3])
    for each in score_bounds(x, kappa):
        np.testing.assert_allclose((x - each) ** 2, kappa * each * (1 - each), atol=1e-12)


def test_the_band_is_the_quantile_of_the_largest_t() -> None:
    """Of independent estimates the level of all together is the product; one alone has t."""
    wide = band_factor(np.diag([1.0, 4.0, 0.25, 9.0]), 1e9)
    assert wide == pytest.approx(stats.norm.ppf((1 + 0.95**0.25) / 2), rel=0.01)
    alike = band_factor(np.ones((4, 4)), 1e9)
    assert alike == pytest.approx(1.96, rel=0.01)
    assert band_factor(np.diag([1.0, 0.0]), 12) == pytest.approx(stats.t.ppf(0.975, 12))
    few = band_factor(np.diag([1.0, 1.0]), 4)
    draws = np.random.default_rng(3).multivariate_normal([0, 0], np.eye(2), 200_000)
    scale = np.sqrt(np.random.default_rng(4).chisquare(4, 200_000) / 4)
    assert few == pytest.approx(np.quantile(np.abs(draws).max(axis=1) / scale, 0.95), rel=0.03)


def test_ratios_have_fiellers_interval() -> None:
    """The ends are the ratios r at which x − r·y is c standard errors from 0."""
    random = np.random.default_rng(6)
    found = measured(random.random((2, 80)) + 0.5)
    low, high = ratio_bounds(found, 1, 2.0)
    x, covariance = found.estimate, found.covariance
    for r in (low[0], high[0]):
        variance = covariance[0, 0] - 2 * r * covariance[0, 1] + r**2 * covariance[1, 1]
        assert (x[0] - r * x[1]) ** 2 == pytest.approx(4 * variance)
    assert low[1] == pytest.approx(1)


def test_percent_and_difference_say_the_same_of_zero() -> None:
    random, told = np.random.default_rng(7), []
    for _ in range(200):
        numbers = random.random((2, 25)) < [[0.75], [0.5]]
        apart = differences(measured(numbers, 1))
        part = percent(measured(numbers), 1, apart)
        assert part is not None
        told.append([each.low[0] > 0 or each.high[0] < 0 for each in (apart, part)])
    clear, said = np.array(told).T
    assert (clear | ~said).all()
    assert (said == clear).mean() > 0.9
    assert 0.1 < clear.mean() < 0.9
    zero = [[1, 0], [0, 0]]
    assert percent(measured(zero), 1, differences(measured(zero, 1))) is None


def test_marks_are_corrected_for_all_that_is_shown() -> None:
    """Of 231 differences of nothing, at least one is marked in at most 5% of tables."""
    marked = []
    for number in range(40):
        random = np.random.default_rng(number)
        tables = [measured(random.normal(size=(11, 120)), 10) for _ in range(21)]
        marked.append(any(any(clear_of(each, 210)) for each in tables))
    assert np.mean(marked) <= 0.1
    assert any(clear_of(measured([np.arange(50) % 2 + 1.0, np.arange(50) % 2], 1), 210))
