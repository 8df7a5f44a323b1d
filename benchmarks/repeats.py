"""Do intervals of sampled answers hold the truth: avg@k and pass@k?

``python -m benchmarks.repeats [TIMES]``: a task of 120 documents that are hard, easy and between,
answered by two models, drawn anew with its answers each time.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.report import publish, table
from pa_harness.analysis.frame import Frame
from pa_harness.analysis.measure import differences, values
from pa_harness.analysis.trajectory import TaskCurve, even_suite
from pa_harness.sweep.repeated import pass_at

Array = NDArray[np.float64]
DOCUMENTS, _MANY = 120, 2_000_000
AVERAGES = (1, 4, 16)
PASSES = ((4, 2), (16, 4))  # answers, and k of them


def _chances(random: np.random.Generator, count: int = DOCUMENTS) -> Array:
    """How often a model is right, of each document."""
    return random.beta(0.6, 0.5, count)


def _task(scores: Array) -> TaskCurve:
    return TaskCurve("t", "t", "x", "avg", scores, np.arange(scores.shape[1]))


def averages(k: int, times: int) -> Array:
    """Shares of intervals of avg@k that hold the truth: of two models, and of their difference."""
    random = np.random.default_rng(k)
    truth = np.array([0.6 / 1.1, np.mean(_chances(random, _MANY) ** 1.3)])
    inside = np.zeros(3)
    for _ in range(times):
        base = _chances(random)
        task = _task(random.binomial(k, np.array([base, base**1.3])) / k)
        frame, suite = Frame([task]), even_suite("t", [task])
        level = values(frame.measure(suite), fraction=True)
        apart = differences(frame.against(suite, 0))
        inside[:2] += (level.low <= truth) & (truth <= level.high)
        inside[2] += apart.low[1] <= truth[1] - truth[0] <= apart.high[1]
    return inside / times


def passes(n: int, k: int, times: int) -> float:
    """The share of intervals of pass@k, from n answers, that hold the truth."""
    random = np.random.default_rng(n)
    truth = 1 - np.mean((1 - _chances(random, _MANY)) ** k)
    scores = np.array([pass_at(k, n, right) for right in range(n + 1)])
    inside = 0
    for _ in range(times):
        task = _task(scores[random.binomial(n, _chances(random)[None])])
        found = values(Frame([task]).measure(even_suite("t", [task])), fraction=True)
        inside += bool(found.low[0] <= truth <= found.high[0])
    return inside / times


def main() -> None:
    """Measure, and write the table."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rows = []
    for k in AVERAGES:
        found = averages(k, times)
        names = ("one model", "another", "their difference")
        rows += [[f"avg@{k}, {n}", _percent(x, times)] for n, x in zip(names, found, strict=True)]
    rows += [[f"pass@{k} of {n}", _percent(passes(n, k, times), times)] for n, k in PASSES]
    publish(
        "repeats",
        f"{DOCUMENTS} documents, {times} times; percent of the 95% intervals that hold the truth, "
        "with Monte-Carlo standard errors.\n\n" + table(["number", "coverage"], rows),
        command="python -m benchmarks.repeats",
    )


def _percent(share: float, times: int) -> str:
    return f"{100 * share:.1f} ± {100 * np.sqrt(share * (1 - share) / times):.1f}"


if __name__ == "__main__":
    main()
