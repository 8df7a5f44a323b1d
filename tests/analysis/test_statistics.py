"""Statistics against independent calculations and known truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from simulated import LAMS, trajectory, truth

from pa_harness.analysis.calibration import calibration_gaps
from pa_harness.analysis.resampling import generator, halves, intervals, replicate_means
from pa_harness.analysis.summary import summarise
from pa_harness.analysis.trajectory import IF, Suite, TaskCurve, Trajectory, even_suite


def task(
    name: str, values: object, counted: str = "", category: str = "c", **more: Any
) -> TaskCurve:
    array = np.asarray(values, dtype=float)
    ids = np.arange(array.shape[1])
    return TaskCurve(name, counted or name, category, "acc,none", array, ids, **more)


def test_resampled_means_have_the_standard_error_of_the_mean() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(3, 40)).cumsum(axis=0)
    drawn = replicate_means(values, 40_000, random)
    expected = np.cov(values) / 40  # with n − 1: the unbiased variance of a mean
    np.testing.assert_allclose(np.cov(drawn.T), expected, rtol=0.05)
    np.testing.assert_allclose(drawn.mean(axis=0), values.mean(axis=1), atol=0.01)


def test_resamples_in_pieces_keep_the_pairing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).random((2, 50))
    values[1] = values[0] + 0.5
    monkeypatch.setattr("pa_harness.analysis.resampling._DRAWS_AT_ONCE", 120)
    drawn = replicate_means(values, 31, generator(0, "x"))
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 0.5, atol=1e-12)
    assert len(np.unique(drawn[:, 0])) > 25


def test_one_document_teaches_nothing() -> None:
    drawn = replicate_means(np.ones((2, 1)), 10, generator(0, "x"))
    assert np.isnan(drawn).all()
    found = intervals(np.ones(2), drawn)
    assert np.isnan([found.low, found.high, found.band_low, found.band_high]).all()


def test_the_band_is_the_quantile_of_the_largest_deviation() -> None:
    random = np.random.default_rng(2)
    drawn = random.normal([0, 1, 2], [1, 0, 3], size=(500, 3))
    estimate = np.array([0.1, 1.0, 2.2])
    found = intervals(estimate, drawn)
    spread = [np.std(drawn[:, n], ddof=1) for n in (0, 2)]
    largest = [max(abs(row[0] - 0.1) / spread[0], abs(row[2] - 2.2) / spread[1]) for row in drawn]
    factor = np.quantile(largest, 0.95)
    np.testing.assert_allclose(
        found.band_high - estimate, [factor * spread[0], 0, factor * spread[1]]
    )
    np.testing.assert_allclose(found.low, np.quantile(drawn, 0.025, axis=0))


def test_halves_are_halves() -> None:
    first = halves(5, 400, generator(0, "x"))
    assert set(first.sum(axis=1)) == {2, 3}
    np.testing.assert_allclose(first.mean(axis=0), 0.5, atol=0.1)


def test_parts_of_a_counted_task_count_once() -> None:
    parts = [task("a", [[0, 1]]), task("b1", [[1, 1]], "b"), task("b2", [[0, 0, 0, 1]], "b")]
    suite = even_suite("ICL", parts)
    assert suite.counted == ("a", "b")
    assert suite.mean() == pytest.approx([(0.5 + (1 + 0.25) / 2) / 2])


def test_curves_of_counted_tasks_and_their_parts() -> None:
    parts = [task("a", [[0, 1, 1]]), task("b1", [[1, 1, 0]], "b"), task("b2", [[0, 0, 1]], "b")]
    summary = summarise(Trajectory("x", np.array([1.0]), tuple(parts), ()), 20)
    kinds = [(curve.name, curve.kind, curve.counted) for curve in summary.curves]
    assert kinds == [
        *(("ICL", "suite", 2), ("category c", "suite", 2)),
        *(("a", "task", 1), ("b", "task", 1), ("b1", "part", 1), ("b2", "part", 1)),
    ]


def test_averages_and_differences_against_plain_python() -> None:
    random = np.random.default_rng(3)
    found = trajectory(truth("peak", 3), 60, random)
    followed = task("f", random.random((11, 20)), category="instruction")
    less = task("less", random.random((11, 20)), averaged=False)
    whole = Trajectory("x", LAMS, (*found.tasks, followed, less), ())
    summary = summarise(whole, replicates=300)
    names = [curve.name for curve in summary.curves]
    assert names == ["ICL", "IF", "category c", "c 0", "c 1", "c 2", "f", "less"]
    curve = summary.curve("ICL")
    assert curve is not None
    assert curve.to_instruct is not None
    assert curve.to_base is not None
    assert curve.fractional is not None
    for row in range(11):
        means = [sum(each.values[row]) / 60 for each in found.tasks]
        ends = [[sum(each.values[end]) / 60 for each in found.tasks] for end in (-1, 0)]
        value, one, zero = sum(means) / 3, sum(ends[0]) / 3, sum(ends[1]) / 3
        assert curve.value.estimate[row] == pytest.approx(value)
        assert curve.to_instruct.estimate[row] == pytest.approx(value - one, abs=1e-12)
        assert curve.to_base.estimate[row] == pytest.approx(value - zero, abs=1e-12)
        assert curve.fractional.estimate[row] == pytest.approx(100 * (value - one) / one, abs=1e-9)
    difference = np.mean([each.values - each.values[-1] for each in found.tasks], axis=0)
    variances = [np.var(each.values[5] - each.values[-1], ddof=1) / 60 for each in found.tasks]
    spread = math.sqrt(sum(variances)) / 3
    width = (curve.to_instruct.high[5] - curve.to_instruct.low[5]) / (2 * 1.96)
    assert width == pytest.approx(spread, rel=0.15)
    assert curve.to_instruct.estimate[5] == pytest.approx(difference[5].mean())
    assert curve.over_tasks is not None


def test_the_same_numbers_whatever_else_is_in_the_sweep() -> None:
    found = trajectory(truth("peak", 2), 40, np.random.default_rng(4))
    alone = Trajectory("x", LAMS, found.tasks[1:], ())
    both, one = summarise(found, 200), summarise(alone, 200)
    name = found.tasks[1].name
    for curves in zip([both.curve(name)], [one.curve(name)], strict=True):
        first, second = (curve.to_instruct for curve in curves if curve)
        assert first is not None
        assert second is not None
        np.testing.assert_array_equal(first.low, second.low)


def test_without_the_ends_there_are_no_differences_to_them() -> None:
    found = trajectory(truth("flat", 2), 30, np.random.default_rng(5))
    inner = [task(each.name, each.values[2:4]) for each in found.tasks]
    summary = summarise(Trajectory("x", LAMS[2:4], tuple(inner), ()), 50)
    curve = summary.curve("ICL")
    assert curve is not None
    assert (curve.to_instruct, curve.to_base, curve.fractional, curve.over_tasks) == (None,) * 4


def test_intervals_over_tasks_need_several_tasks() -> None:
    two = trajectory(truth("flat", 2), 30, np.random.default_rng(6))
    curve = summarise(two, 50).curve("ICL")
    assert curve is not None
    assert curve.over_tasks is None


def test_calibration_by_hand() -> None:
    confidence = np.array([0.55, 0.55, 0.95, 1.0])
    hit = np.array([1.0, 0.0, 1.0, 0.0])
    # bins of 1/15: 0.55 twice (gap 0.05 over 2), 0.95 and 1.0 share the last (gap 0.475 over 2)
    expected = (abs(1 - 1.1) + abs(1 - 1.95)) / 4
    gaps = calibration_gaps(confidence[None], hit[None])
    assert np.abs(gaps.mean(axis=2)).sum() == pytest.approx(expected)


def test_the_interval_of_the_calibration_error_holds() -> None:
    """Well calibrated, where the measured error is above the true one, 0, in every sample."""
    random = np.random.default_rng(7)
    held = []
    for seed in range(100):
        confidence = 0.25 + 0.75 * random.beta(4, 3, size=(1, 200))
        hit = (random.random(confidence.shape) < confidence).astype(float)
        more = {"confidence,options": confidence, "hit,options": hit}
        only = task("a", hit, more=more)
        ece = summarise(Trajectory("x", np.array([1.0]), (only,), ()), 200, seed).aside["ece"]
        assert ece.estimate[0] > 0.02
        held.append(ece.low[0] == 0)
        assert ece.low[0] <= ece.high[0]
    assert np.mean(held) > 0.9


def test_the_normalised_average_is_between_guessing_and_perfect() -> None:
    random = np.random.default_rng(8)
    b = {"a": 0.25, "b1": 0.5, "b2": 0.0}
    parts = [
        task(name, random.integers(0, 2, (2, 40)), name[0], baseline=base)
        for name, base in b.items()
    ]
    whole = Trajectory("x", np.array([0.0, 1.0]), tuple(parts), ())
    curve = summarise(whole, 4000).curve("ICL, normalised")
    assert curve is not None
    assert curve.to_instruct is not None
    scaled = {p.name: (p.values - b[p.name]) / (1 - b[p.name]) for p in parts}
    means = [(scaled["a"] + (scaled["b1"] + scaled["b2"]) / 2)[row].mean() / 2 for row in (0, 1)]
    assert curve.value.estimate == pytest.approx(means)
    assert curve.to_instruct.estimate == pytest.approx([means[0] - means[1], 0])
    weights = {"a": 1 / 2, "b1": 1 / 4, "b2": 1 / 4}
    spread = math.sqrt(
        sum(w**2 * np.var(scaled[n][0] - scaled[n][1], ddof=1) / 40 for n, w in weights.items())
    )
    width = curve.to_instruct.high[0] - curve.to_instruct.low[0]
    assert width / (2 * 1.96) == pytest.approx(spread, rel=0.06)
    unknown = Trajectory("x", whole.lams, (*parts, task("c", np.ones((2, 3)))), ())
    assert summarise(unknown, 20).curve("ICL, normalised") is None


def test_what_stands_beside_is_a_mean_over_tasks() -> None:
    options = {
        "hit,options": np.array([[1.0, 0.0], [1.0, 1.0]]),
        "confidence,options": np.array([[0.9, 0.9], [0.5, 0.7]]),
        "brier,options": np.array([[0.1, 0.3], [0.2, 0.2]]),
    }
    answers = {
        "length,answer": np.array([[2.0, 4.0], [1.0, 1.0]]),
        "ended,answer": np.array([[1.0, 0.0], [1.0, 1.0]]),
    }
    tasks = (
        task("a", np.ones((2, 2)), more=options),
        task("b", np.ones((2, 2)), category="instruction", more=answers),
    )
    aside = summarise(Trajectory("x", np.array([0.0, 1.0]), tasks, ()), 20).aside
    np.testing.assert_allclose(aside["ece"].estimate, [0.4, (0.5 + 0.3) / 2])
    np.testing.assert_allclose(aside["brier"].estimate, [0.2, 0.2])
    np.testing.assert_allclose(aside["answer_length"].estimate, [3, 1])
    np.testing.assert_allclose(aside["answers_ended"].estimate, [0.5, 1])


def test_intervals_and_band_hold_as_often_as_they_say() -> None:
    """A few hundred simulated sweeps; the table of 2,000 is made by benchmarks/coverage.py."""
    means = truth("peak", 4)
    right = means.mean(axis=0) - means.mean(axis=0)[-1]
    inside = np.zeros((150, 10))
    band = []
    for number in range(150):
        found = trajectory(means, 80, np.random.default_rng(number))
        curve = summarise(found, 400, seed=number).curve("ICL")
        assert curve is not None
        assert curve.to_instruct is not None
        each = curve.to_instruct
        inside[number] = ((each.low <= right) & (right <= each.high))[:10]
        within = (each.band_low <= right) & (right <= each.band_high)
        band.append(within[:10].all())
    assert 0.92 < inside.mean() < 0.98
    assert np.mean(band) > 0.90


def test_a_suite_is_found_by_name() -> None:
    found = trajectory(truth("flat", 2), 10, np.random.default_rng(0), category="instruction")
    suite = found.suite(IF)
    assert isinstance(suite, Suite)
    assert found.suite("ICL") is None
    assert suite.name == "IF"
