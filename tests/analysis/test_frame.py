"""Standard errors of averages against leaving units out one by one, and against known truth."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from simulated import Design, simulate

from pa_harness.analysis.frame import Frame
from pa_harness.analysis.measure import differences
from pa_harness.analysis.trajectory import TaskCurve, even_suite


def task(name: str, values: Any, clusters: Any = None, **more: Any) -> TaskCurve:
    array = np.asarray(values, dtype=float)
    ids = np.arange(array.shape[1])
    units = None if clusters is None else np.asarray(clusters)
    return TaskCurve(name, name, "c", "acc,none", array, ids, clusters=units, **more)


def left_out(tasks: list[TaskCurve], row: int) -> float:
    """The variance of the mean of task means at one λ, from leaving out every cluster in turn."""
    units = sorted({int(unit) for each in tasks for unit in each.clusters})

    def mean(without: int | None) -> float:
        kept = [each.values[row, each.clusters != without] for each in tasks]
        return float(np.mean([values.mean() for values in kept]))

    found = [mean(unit) for unit in units]
    whole = mean(None)
    return (len(units) - 1) / len(units) * sum((each - whole) ** 2 for each in found)


def test_alone_it_is_the_standard_error_of_the_mean() -> None:
    values = np.random.default_rng(0).random((3, 40))
    found = Frame([task("a", values)]).measure(even_suite("a", [task("a", values)]))
    np.testing.assert_allclose(found.covariance, np.cov(values) / 40)
    np.testing.assert_allclose(found.degrees, 39)


@pytest.mark.parametrize("shared", [False, True])
def test_clusters_are_left_out_whole(shared: bool) -> None:
    """In one task, unequal in size and in any order; in two, the same clusters or others."""
    random = np.random.default_rng(1)
    first = task("a", random.random((2, 30)), random.permutation(np.arange(30) % 7))
    second = task("b", random.random((2, 7)), np.arange(7) if shared else 100 + np.arange(7))
    alone = Frame([first]).measure(even_suite("a", [first]))
    assert alone.variance[1] == pytest.approx(left_out([first], 1))
    both = Frame([first, second])
    suite = even_suite("both", [first, second])
    found = both.measure(suite)
    parts = [Frame([each]).measure(even_suite("x", [each])).variance for each in (first, second)]
    apart = (parts[0] + parts[1]) / 4
    if shared:  # both have all seven
        assert found.variance == pytest.approx([left_out([first, second], row) for row in (0, 1)])
        assert abs(found.variance - apart).max() > 1e-5
    else:
        np.testing.assert_allclose(found.variance, apart)
    assert both.clusters(suite) == (7 if shared else 14)
    assert found.degrees[0] <= both.clusters(suite) - 1


def test_two_measurements_of_the_same_documents_are_not_twice_as_many() -> None:
    values = np.random.default_rng(2).integers(0, 2, (2, 50)).astype(float)
    twice = [task("cf", values, np.arange(50)), task("mcf", values, np.arange(50))]
    once = Frame(twice[:1]).measure(even_suite("once", twice[:1]))
    found = Frame(twice).measure(even_suite("twice", twice))
    np.testing.assert_allclose(found.variance, once.variance)


def test_copies_of_documents_add_nothing() -> None:
    values = np.random.default_rng(3).random((2, 40))
    alone = task("a", values)
    copied = task("a", np.repeat(values, 3, axis=1), np.repeat(np.arange(40), 3))
    errors = [Frame([t]).measure(even_suite("a", [t])).variance for t in (alone, copied)]
    np.testing.assert_allclose(*errors)


def test_draws_of_the_demonstrations_add_their_variance() -> None:
    random = np.random.default_rng(4)
    by_draw = random.random((4, 2, 60)) + random.normal(0, 0.1, (4, 2, 1))
    found = task("a", by_draw.mean(axis=0), np.arange(60), by_draw=by_draw)
    measured = Frame([found]).measure(even_suite("a", [found]))
    documents = np.var(by_draw.mean(axis=0), axis=1, ddof=1) / 60
    draws = np.var(by_draw.mean(axis=2), axis=0, ddof=1) / 4
    np.testing.assert_allclose(measured.variance, documents + draws)
    expected = (documents + draws) ** 2 / (documents**2 / 59 + draws**2 / 3)
    np.testing.assert_allclose(measured.degrees, expected)


def test_the_error_of_passages_is_that_of_many_sweeps() -> None:
    """40 passages of 5, flat truth: the spread over sweeps is what each sweep says of itself."""
    design = Design(passage=5, smooth=0.6)
    means = np.full((1, 3), 0.5)
    seen, said, naive = [], [], []
    for number in range(300):
        (found,) = simulate(design, means, np.random.default_rng(number)).tasks
        for known, into in ((found, said), (replace(found, clusters=None), naive)):
            apart = Frame([known]).against(even_suite("x", [known]), 2)
            into.append(math.sqrt(apart.variance[0]))
        seen.append(apart.estimate[0])
    assert np.mean(said) == pytest.approx(np.std(seen), rel=0.1)
    assert np.mean(naive) < 0.8 * np.std(seen)


def test_from_one_cluster_nothing_is_learnt() -> None:
    one = task("a", np.random.default_rng(5).random((2, 9)), np.zeros(9, dtype=int))
    found = differences(Frame([one]).against(even_suite("a", [one]), 1))
    assert np.isnan([found.low, found.high, found.band_low, found.band_high]).all()
    assert math.isnan(found.factor)
