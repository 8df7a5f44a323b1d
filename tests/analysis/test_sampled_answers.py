"""Intervals of sampled answers: both sources of chance, in simulations of known truth; costs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pa_harness.analysis.frame import Frame
from pa_harness.analysis.measure import differences, quotient, values
from pa_harness.analysis.summary import summarise
from pa_harness.analysis.trajectory import TaskCurve, Trajectory, even_suite
from pa_harness.report.figures import all_figures
from pa_harness.report.text import summary_text
from pa_harness.sweep.repeated import pass_at

DOCUMENTS, TIMES = 120, 1000


def curve(scores: np.ndarray, more: dict[str, np.ndarray] | None = None) -> TaskCurve:
    """A task from values by λ and document."""
    return TaskCurve("t", "t", "x", "avg", scores, np.arange(scores.shape[1]), more=more or {})


def chances(random: np.random.Generator, shift: float) -> np.ndarray:
    """How often a model is right in each document: hard ones, easy ones, and between."""
    base = random.beta(0.6, 0.5, DOCUMENTS)
    return np.array([base, base**shift])


@pytest.mark.parametrize("k", [1, 4, 16])
def test_coverage_of_means_over_answers(k: int) -> None:
    """avg@k of documents and answers drawn anew: 93–97 % of intervals have the truth."""
    random = np.random.default_rng(k)
    truth = np.array([0.6 / 1.1, np.mean(random.beta(0.6, 0.5, 2_000_000) ** 1.3)])
    inside = np.zeros(3)
    for _ in range(TIMES):
        right = random.binomial(k, chances(random, 1.3)) / k
        task = curve(right)
        frame = Frame([task])
        suite = even_suite("t", [task])
        level = values(frame.measure(suite), fraction=True)
        apart = differences(frame.against(suite, 0))
        inside[:2] += (level.low <= truth) & (truth <= level.high)
        inside[2] += apart.low[1] <= truth[1] - truth[0] <= apart.high[1]
    assert ((inside / TIMES >= 0.93) & (inside / TIMES <= 0.97)).all(), inside / TIMES


@pytest.mark.parametrize(("n", "k"), [(4, 2), (16, 4)])
def test_coverage_of_pass_at_k(n: int, k: int) -> None:
    random = np.random.default_rng(n)
    truth = 1 - np.mean((1 - random.beta(0.6, 0.5, 2_000_000)) ** k)
    table = np.array([pass_at(k, n, right) for right in range(n + 1)])
    inside = 0
    for _ in range(TIMES):
        task = curve(table[random.binomial(n, chances(random, 1.0))])
        found = values(Frame([task]).measure(even_suite("t", [task])), fraction=True)
        inside += found.low[0] <= truth <= found.high[0]
    assert 0.93 <= inside / TIMES <= 0.97


def test_coverage_of_score_per_tokens() -> None:
    """Longer answers where it is harder: numerator and denominator hang together."""
    random = np.random.default_rng(5)
    many = random.beta(2, 2, 2_000_000)
    truth = many.mean() / np.mean(50 + 200 * (1 - many))
    inside = 0
    for _ in range(TIMES):
        p = random.beta(2, 2, DOCUMENTS)
        tokens = random.poisson(50 + 200 * (1 - p))[None].astype(float)
        task = curve(random.binomial(1, p)[None].astype(float), {"length,answer": tokens})
        frame, suite = Frame([task]), even_suite("t", [task])
        found = quotient(frame.measure(suite), frame.measure(suite, "length,answer"))
        inside += found.low[0] <= truth <= found.high[0]
    assert 0.93 <= inside / TIMES <= 0.97


def test_costs_in_summary_and_picture() -> None:
    random = np.random.default_rng(0)
    lams = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
    right = random.binomial(1, 0.5, (5, 60)).astype(float)
    tokens = random.integers(20, 90, (5, 60)).astype(float)
    more = {
        **{"length,answer": tokens, "ended,answer": np.ones((5, 60))},
        **{"thinking,answer": tokens // 2, "closed,answer": (tokens > 30).astype(float)},
    }
    names = ("base", "sft", "rl")
    summary = summarise(Trajectory("x", lams, (curve(right, more),), (), knots=names))
    per = summary.aside["per_thousand_tokens"]
    np.testing.assert_allclose(per.estimate, 1000 * right.mean(1) / tokens.mean(1))
    assert (per.low < per.estimate).all()
    assert (per.estimate < per.high).all()
    np.testing.assert_allclose(summary.aside["thinking"].estimate, (tokens // 2).mean(1))
    np.testing.assert_allclose(summary.aside["thinking_closed"].estimate, (tokens > 30).mean(1))
    text = summary_text(summary)
    assert "score per 1000 tokens" in text
    assert "thinking closed" in text
    picture = all_figures([summary])["cost"]
    (axes,) = picture.axes
    written = [each.get_text() for each in axes.texts]
    assert written == ["0 base", "0.5", "1 sft", "1.5", "2 rl"]
    score, cost = right.mean(1), tokens.mean(1)
    front = axes.lines[1].get_xydata()
    best = [
        not any(cost[m] <= cost[n] and score[m] >= score[n] and m != n for m in range(5))
        for n in range(5)
    ]
    assert sorted(map(tuple, front)) == sorted(zip(cost[best], score[best], strict=True))
    assert not math.isnan(per.error[0])


def test_tasks_without_a_share_have_no_cost_picture() -> None:
    lengths = {"length,answer": np.full((2, 5), 9.0)}
    task = curve(np.full((2, 5), -3.0), lengths)
    summary = summarise(Trajectory("x", np.array([0.0, 1.0]), (task,), ()))
    assert summary.costs is None
    assert "cost" not in all_figures([summary])
