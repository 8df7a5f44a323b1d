"""P(kept) and what may be chosen: against plain calculations and simulated promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from simulated import LAMS, Design, simulate, truth

from pa_harness.analysis.choice import choose
from pa_harness.analysis.constraints import Constraint, Promise, admitted
from pa_harness.analysis.frame import Frame
from pa_harness.analysis.trajectory import TaskCurve, Trajectory, even_suite


def promise(
    values: object, lams: np.ndarray, share: float = 0.98, of: float | None = 1.0, **more: bool
) -> Promise:
    array = np.asarray(values, dtype=float)
    task = TaskCurve("a", "a", "c", "m,none", array, np.arange(array.shape[1]))
    suite = even_suite("IF", [task])
    return Promise(Constraint("IF", share, of, **more), Frame([task]), suite, lams)


def test_the_probability_is_that_of_the_paired_margin() -> None:
    """IF(λ) − 0.98 IF(1) by document; Student's t of its mean."""
    values = np.random.default_rng(0).random((3, 60))
    found = promise(values, np.array([0.0, 0.5, 1.0])).kept(0.9)
    for row in (0, 1):
        margin = values[row] - 0.98 * values[2]
        t = margin.mean() / (margin.std(ddof=1) / np.sqrt(60))
        assert found.probability[row] == pytest.approx(stats.t.cdf(t, 59))
    assert found.probability[2] == 1
    assert (found.documents, found.clusters) == (60, 60)


def test_what_is_certified_has_the_stated_probability() -> None:
    values = np.random.default_rng(1).random((2, 80))
    lams = np.array([0.5, 1.0])
    certified = promise(values, lams).kept(0.9).certified[0]
    again = promise(values, lams, certified).kept(0.9).probability[0]
    assert again == pytest.approx(0.9, abs=1e-6)


def test_at_most_and_fixed_numbers() -> None:
    values = np.random.default_rng(2).random((2, 50))
    lams = np.array([0.5, 1.0])
    low = promise(values, lams, 0.45, None).kept(0.9).probability
    high = promise(values, lams, 0.45, None, at_least=False).kept(0.9).probability
    assert np.add(low, high) == pytest.approx(1)
    t = (values[0].mean() - 0.45) / (values[0].std(ddof=1) / np.sqrt(50))
    assert low[0] == pytest.approx(stats.t.cdf(t, 49), abs=3e-3)
    base = promise(values, lams, 1.1, 0.5, at_least=False).kept(0.9).probability
    assert base[0] == 1, "a cost at most 110% of itself"
    assert Constraint("cost", 1.1, 0.0, at_least=False).text == "cost ≤ 110% of cost(0)"


def test_no_change_in_few_documents_certifies_little() -> None:
    same = np.ones((2, 100))
    lams = np.array([0.5, 1.0])
    assert promise(same, lams, 0.98).kept(0.9).probability[0] < 0.95
    assert promise(same, lams, 0.90).kept(0.9).probability[0] > 0.99
    assert promise(np.ones((2, 1000)), lams, 0.98).kept(0.9).probability[0] > 0.99


def test_only_what_lies_before_the_first_failure_may_be_chosen() -> None:
    lams = np.linspace(0, 1, 6)
    found = promise(np.random.default_rng(3).random((6, 30)), lams)
    sure = np.array([[0.99, 0.99, 0.5, 0.95, 0.92, 1.0], [0.99, 0.95, 0.93, 0.94, 0.95, 1.0]])
    free = admitted([found], [sure], lams, 0.9)
    np.testing.assert_array_equal(free[0], [False, False, False, True, True, True])
    assert free[1].all()
    other = promise(np.random.default_rng(3).random((6, 30)), lams, of=0.0)
    both = admitted([found, other], [sure, np.full((2, 6), 0.94)], lams, 0.9)
    assert not both.any(), "two references share 1 − 0.9: each needs 0.95"


@pytest.mark.parametrize("boundary", [0.35, 0.75])
def test_the_promise_is_kept(boundary: float) -> None:
    """The chosen λ breaks it in at most 10% of sweeps at 90%; at 50% in more than at 90%."""
    followed = 0.6 * (1 - 0.02 * (1 - LAMS) / (1 - boundary))
    broken: dict[float, list[bool]] = {0.5: [], 0.9: []}
    for number in range(60):
        random = np.random.default_rng(number)
        parts = simulate(Design(300), truth("peak", 3), random).tasks
        parts += simulate(Design(541), followed[None], random, "instruction").tasks
        found = Trajectory("x", LAMS, parts, ())
        for confidence, seen in broken.items():
            lam = choose(found, confidence=confidence).choices[1].candidate
            seen.append(followed[lam == LAMS][0] < 0.98 * followed[-1] - 1e-9)
    assert np.mean(broken[0.9]) <= 0.12
    assert np.mean(broken[0.9]) < np.mean(broken[0.5])
