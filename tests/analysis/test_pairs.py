"""Exact p against scipy and against every way the signs may fall; Holm; false alarms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control, ttest_rel

from benchmarks.alarms import REGIMES, alarms
from pa_harness.analysis.pairs.chance import few_p, holm, sign_p, t_p


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (3, 9), (10, 10), (48, 31), (0, 400)])
def test_it_is_mcnemars_where_documents_stand_alone(lost: int, won: int) -> None:
    changes = np.array([-1] * lost + [1] * won + [0] * 7)
    expected = binomtest(lost, lost + won, 0.5).pvalue if lost + won else 1.0
    assert sign_p(changes) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    "changes", [(1, 2), (3, -1, 2, 2), (1, 1, 5, -4, 2, 0), (-2, -2, -2), (4, 4, 1, -1, -1, 3, 2)]
)
def test_of_clusters_it_is_the_share_of_all_signs(changes: tuple[int, ...]) -> None:
    """Of all ways in which each cluster's change may have been the opposite."""
    sums = [abs(np.dot(signs, np.abs(changes))) for signs in product((-1, 1), repeat=len(changes))]
    expected = np.mean(np.array(sums) >= abs(sum(changes)))
    assert sign_p(np.array(changes)) == pytest.approx(expected)
    assert few_p(0.1 * np.array(changes)) == pytest.approx(expected)
    assert few_p(np.ones(17)) is None
    assert few_p(np.zeros(40)) == 1


def test_large_ones_go_over_into_the_limit() -> None:
    """Just below the limit and above it the same p."""
    random = np.random.default_rng(0)
    few = random.choice([-2, -1, 1, 2], 13_000)
    assert sum(abs(few)) < 20_000
    z = abs(few.sum()) / np.sqrt((few**2).sum())
    many = np.concatenate([few, few, -few])  # the same sum of a larger spread
    assert sum(abs(many)) > 20_000
    assert sign_p(few) == pytest.approx(2 * (1 - _normal(z)), abs=0.01)
    assert sign_p(many) == pytest.approx(2 * (1 - _normal(z / np.sqrt(3))), abs=0.01)


def _normal(z: float) -> float:
    from statistics import NormalDist

    return NormalDist().cdf(z)


def test_of_other_numbers_it_is_students() -> None:
    random = np.random.default_rng(1)
    a, b = random.random((2, 30))
    change = b - a
    error = change.std(ddof=1) / np.sqrt(30)
    assert t_p(change.mean(), error, 29) == pytest.approx(ttest_rel(b, a).pvalue)
    assert t_p(0.0, 0.0, 29) == 1
    assert np.isnan(t_p(0.1, np.nan, 0))


def test_holm_goes_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, float("nan"), 0.01])[::2] == pytest.approx([0.5, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert all(np.array(holm([0.01, 0.04, 0.03])) >= false_discovery_control([0.01, 0.04, 0.03]))


@pytest.mark.parametrize("regime", [each for each in REGIMES if each.documents <= 300], ids=str)
def test_false_alarms_are_at_most_one_in_twenty(regime: object) -> None:
    """A smaller version of ``python -m benchmarks.alarms``, up to three Monte-Carlo errors."""
    repetitions = 300
    found = alarms(regime, repetitions)  # type: ignore[arg-type]
    assert found["p"].mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repetitions)
    assert found["interval"].mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repetitions)
