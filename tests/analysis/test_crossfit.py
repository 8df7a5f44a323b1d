"""The cross-fitted gain against a loop over deals, folds and documents."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import Design, simulate, trajectory, truth

from pa_harness.analysis.crossfit import DEALS, FOLDS, CrossFit
from pa_harness.analysis.frame import Frame
from pa_harness.analysis.trajectory import even_suite


def test_means_without_a_fold_and_the_gain_by_hand() -> None:
    """In passages of 3, which are never parted."""
    design = Design(31, passage=3)
    found = simulate(design, truth("peak", 2), np.random.default_rng(7))
    frame, suite = Frame(found.tasks), even_suite("ICL", found.tasks)
    folds = CrossFit(frame, found.tasks, 3)
    without = folds.without(suite).reshape(DEALS, FOLDS, 11)
    chosen = without.argmax(axis=2)
    gain = folds.gain(suite, 10, chosen.ravel())
    dealt, gains = {task.name: folds._folds[frame.groups(task)[0]] for task in found.tasks}, []
    for deal in range(DEALS):
        seen = []
        for task in found.tasks:
            units = np.unique(task.clusters, return_inverse=True)[1]
            of_document = dealt[task.name][deal][units]
            rows = chosen[deal][of_document]
            picked = task.values[rows, np.arange(31)] - task.values[10]
            seen.append(picked.mean())
            for fold in range(FOLDS):
                kept = task.values[:, of_document != fold].mean(axis=1)
                if task is found.tasks[0]:
                    first = kept
            if task is found.tasks[1]:
                expected = (first + kept) / 2
        np.testing.assert_allclose(without[deal, FOLDS - 1], expected)
        gains.append(np.mean(seen))
    assert gain.estimate == pytest.approx(np.mean(gains))
    assert gain.low < gain.estimate < gain.high


def test_folds_are_even_and_the_same_every_time() -> None:
    found = trajectory(truth("flat", 1), 103, np.random.default_rng(0))
    frame = Frame(found.tasks)
    folds = [CrossFit(frame, found.tasks, 5)._folds for _ in range(2)]
    (one,), (two,) = (list(each.values()) for each in folds)
    np.testing.assert_array_equal(one, two)
    assert {tuple(np.bincount(row)) for row in one} == {(21, 21, 21, 20, 20)}


def test_with_a_fixed_choice_the_gain_is_the_difference_and_its_interval() -> None:
    found = trajectory(truth("peak", 3), 200, np.random.default_rng(1))
    frame, suite = Frame(found.tasks), even_suite("ICL", found.tasks)
    gain = CrossFit(frame, found.tasks, 0).gain(suite, 10, np.full(DEALS * FOLDS, 5))
    apart = frame.against(suite, 10)
    assert gain.estimate == pytest.approx(apart.estimate[5])
    error = np.sqrt(apart.variance[5])
    assert 1.9 * error < gain.high - gain.estimate < 3 * error


def test_draws_are_held_out_too() -> None:
    """λ is chosen without the draw it is looked at with: luck of one draw is no gain."""
    means, gains = np.full((2, 11), 0.5), []
    for number in range(40):
        random = np.random.default_rng(number)
        found = simulate(Design(400, draws=3, spread=0.03), means, random)
        frame, suite = Frame(found.tasks), even_suite("ICL", found.tasks)
        folds = CrossFit(frame, found.tasks, 0)
        gain = folds.gain(suite, 10, folds.without(suite).argmax(axis=1))
        gains.append((gain.estimate, gain.low <= 0 <= gain.high))
    assert abs(np.mean([each for each, _ in gains])) < 0.008
    assert np.mean([held for _, held in gains]) > 0.9
