"""The curve's posterior against a direct calculation, and the λ that it names against argmax."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import LAMS, trajectory, truth

from pa_harness.analysis.choice import choose
from pa_harness.analysis.smoothing import _LENGTHS, _LEVEL, _OWN, _SIZES, posterior


@pytest.mark.parametrize("kinks", [False, True])
def test_the_posterior_is_bayes_rule(*, kinks: bool) -> None:
    """Weights from the joint density of what was seen; means by conditioning, entry by entry."""
    random = np.random.default_rng(0)
    lams, places = np.linspace(0, 1, 5), np.array([0, 2, 4])
    seen = random.normal(0.5, 0.02, (1, 3))
    errors = np.diag([1e-4, 2e-4, 1e-4])
    found = posterior(lams, places, seen, errors, kinks=kinks)
    logs, means = [], []
    for size in _SIZES:
        for length in _LENGTHS:
            for own in _OWN:
                prior = np.full((5, 5), _LEVEL**2)
                far = abs(lams[:, None] - lams) / length
                rough = (1 + 3**0.5 * far) * np.exp(-(3**0.5) * far)
                prior += size**2 * (rough if kinks else np.exp(-(far**2) / 2))
                prior[4, 4] += own**2
                total = prior[np.ix_(places, places)] + errors
                off = seen[0] - seen.mean()
                solved = np.linalg.solve(total, off)
                logs.append(-0.5 * (off @ solved + np.log(np.linalg.det(total))))
                means.append(prior[:, places] @ solved + seen.mean())
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    np.testing.assert_allclose(found.weights[0], weights, atol=1e-6)
    np.testing.assert_allclose(found.mean[0], weights @ np.array(means), atol=1e-6)


def test_the_unit_changes_nothing_else() -> None:
    seen, errors = np.array([[0.5, 0.52, 0.51]]), 1e-4 * np.eye(3)
    lams, places = np.array([0.0, 0.5, 1.0]), np.arange(3)
    one = posterior(lams, places, seen, errors)
    ten = posterior(lams, places, 10 * seen, 100 * errors, 10.0)
    np.testing.assert_allclose(10 * one.mean, ten.mean)


@pytest.mark.parametrize("shape", ["peak", "rise"])
def test_the_named_lam_loses_less_than_the_largest_mean(shape: str) -> None:
    means = truth(shape, 6).mean(axis=0)
    lost: dict[str, list[float]] = {"smooth": [], "largest": []}
    for number in range(40):
        found = trajectory(truth(shape, 6), 100, np.random.default_rng(number))
        seen = np.mean([task.values.mean(axis=1) for task in found.tasks], axis=0)
        lam = choose(found).choices[0].candidate
        lost["smooth"].append(means.max() - means[lam == LAMS][0])
        lost["largest"].append(means.max() - means[seen.argmax()])
    assert np.mean(lost["smooth"]) < np.mean(lost["largest"])
