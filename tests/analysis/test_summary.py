"""What a sweep shows, against plain calculations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from simulated import LAMS, trajectory, truth

from pa_harness.analysis.intervals import critical
from pa_harness.analysis.summary import summarise
from pa_harness.analysis.trajectory import IF, Suite, TaskCurve, Trajectory, even_suite


def task(
    name: str, values: object, counted: str = "", category: str = "c", **more: Any
) -> TaskCurve:
    array = np.asarray(values, dtype=float)
    ids = np.arange(array.shape[1])
    return TaskCurve(name, counted or name, category, "acc,none", array, ids, **more)


def test_parts_of_a_counted_task_count_once() -> None:
    parts = [task("a", [[0, 1]]), task("b1", [[1, 1]], "b"), task("b2", [[0, 0, 0, 1]], "b")]
    suite = even_suite("ICL", parts)
    assert suite.counted == ("a", "b")
    assert suite.mean() == pytest.approx([(0.5 + (1 + 0.25) / 2) / 2])


def test_curves_of_counted_tasks_and_their_parts() -> None:
    parts = [task("a", [[0, 1, 1]]), task("b1", [[1, 1, 0]], "b"), task("b2", [[0, 0, 1]], "b")]
    summary = summarise(Trajectory("x", np.array([1.0]), tuple(parts), ()))
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
    summary = summarise(whole)
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
    assert curve.to_instruct.error[5] == pytest.approx(spread)
    half = float(critical(3 * 59)) * spread
    assert curve.to_instruct.high[5] == pytest.approx(difference[5].mean() + half, rel=0.01)
    assert curve.to_instruct.estimate[5] == pytest.approx(difference[5].mean())
    assert curve.over_tasks is not None


def test_the_same_numbers_whatever_else_is_in_the_sweep() -> None:
    found = trajectory(truth("peak", 2), 40, np.random.default_rng(4))
    alone = Trajectory("x", LAMS, found.tasks[1:], ())
    both, one = summarise(found), summarise(alone)
    name = found.tasks[1].name
    for curves in zip([both.curve(name)], [one.curve(name)], strict=True):
        first, second = (curve.to_instruct for curve in curves if curve)
        assert first is not None
        assert second is not None
        np.testing.assert_array_equal(first.low, second.low)


def test_without_the_ends_there_are_no_differences_to_them() -> None:
    found = trajectory(truth("flat", 2), 30, np.random.default_rng(5))
    inner = [task(each.name, each.values[2:4]) for each in found.tasks]
    summary = summarise(Trajectory("x", LAMS[2:4], tuple(inner), ()))
    curve = summary.curve("ICL")
    assert curve is not None
    assert (curve.to_instruct, curve.to_base, curve.fractional, curve.over_tasks) == (None,) * 4


def test_over_tasks_with_students_t() -> None:
    """Three tasks: their spread over √3, and t with 2 degrees, which is 4.30."""
    found = trajectory(truth("peak", 3), 50, np.random.default_rng(9))
    curve = summarise(found).curve("ICL")
    assert curve is not None
    assert curve.over_tasks is not None
    each = np.array([task.values.mean(axis=1) - task.values[-1].mean() for task in found.tasks])
    half = 4.302652729911275 * each.std(axis=0, ddof=1) / math.sqrt(3)
    np.testing.assert_allclose(curve.over_tasks.high, each.mean(axis=0) + half)


def test_clusters_stand_beside_documents() -> None:
    random = np.random.default_rng(10)
    passages = np.arange(40) // 5
    tasks = (
        task("a", random.random((2, 40)), clusters=passages),
        task("b", random.random((2, 40)), clusters=passages),
    )
    summary = summarise(Trajectory("x", np.array([0.0, 1.0]), tasks, ()))
    assert [(c.documents, c.clusters) for c in summary.curves[:3]] == [(80, 8), (80, 8), (40, 8)]
    assert summary.cells == 2


def test_intervals_over_tasks_need_several_tasks() -> None:
    two = trajectory(truth("flat", 2), 30, np.random.default_rng(6))
    curve = summarise(two).curve("ICL")
    assert curve is not None
    assert curve.over_tasks is None


def test_the_normalised_average_is_between_guessing_and_perfect() -> None:
    random = np.random.default_rng(8)
    b = {"a": 0.25, "b1": 0.5, "b2": 0.0}
    parts = [
        task(name, random.integers(0, 2, (2, 40)), name[0], baseline=base)
        for name, base in b.items()
    ]
    whole = Trajectory("x", np.array([0.0, 1.0]), tuple(parts), ())
    curve = summarise(whole).curve("ICL, normalised")
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
    assert curve.to_instruct.error[0] == pytest.approx(spread)
    unknown = Trajectory("x", whole.lams, (*parts, task("c", np.ones((2, 3)))), ())
    assert summarise(unknown).curve("ICL, normalised") is None


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
    aside = summarise(Trajectory("x", np.array([0.0, 1.0]), tasks, ())).aside
    np.testing.assert_allclose(aside["brier"].estimate, [0.2, 0.2])
    np.testing.assert_allclose(aside["answer_length"].estimate, [3, 1])
    np.testing.assert_allclose(aside["answers_ended"].estimate, [0.5, 1])


def test_a_suite_is_found_by_name() -> None:
    found = trajectory(truth("flat", 2), 10, np.random.default_rng(0), category="instruction")
    suite = found.suite(IF)
    assert isinstance(suite, Suite)
    assert found.suite("ICL") is None
    assert suite.name == "IF"


def test_numerical_noise_is_no_difference() -> None:
    """Sums in another order are no change, however alike they are."""
    values = np.full((3, 60), 0.1) + np.array([[0.0], [1e-12], [0.0]])
    task = TaskCurve("a", "a", "c", "m,none", values, np.arange(60))
    found = summarise(Trajectory("k", np.array([0.0, 0.5, 1.0]), (task,), ()))
    assert not any(found.curves[-1].outside)
    apart = found.curves[0].to_instruct
    assert apart is not None
    assert (apart.estimate == 0).all()
