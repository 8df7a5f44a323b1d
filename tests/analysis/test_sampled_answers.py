"""Intervals of sampled answers: both sources of chance, in simulations of known truth; costs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.repeats import AVERAGES, DOCUMENTS, PASSES, averages, passes
from pa_harness.analysis.frame import Frame
from pa_harness.analysis.measure import quotient
from pa_harness.analysis.summary import summarise
from pa_harness.analysis.trajectory import TaskCurve, Trajectory, even_suite
from pa_harness.report.figures import all_figures
from pa_harness.report.text import summary_text

TIMES = 1000


def curve(scores: np.ndarray, more: dict[str, np.ndarray] | None = None) -> TaskCurve:
    """A task from values by λ and document."""
    return TaskCurve("t", "t", "x", "avg", scores, np.arange(scores.shape[1]), more=more or {})


@pytest.mark.parametrize("k", AVERAGES)
def test_coverage_of_means_over_answers(k: int) -> None:
    """avg@k of documents and answers drawn anew, as in ``python -m benchmarks.repeats``."""
    inside = averages(k, TIMES)
    assert ((inside >= 0.93) & (inside <= 0.97)).all(), inside


@pytest.mark.parametrize(("n", "k"), PASSES)
def test_coverage_of_pass_at_k(n: int, k: int) -> None:
    assert 0.93 <= passes(n, k, TIMES) <= 0.97


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
