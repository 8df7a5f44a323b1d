"""Choosing λ: the rules against brute force, the gain against known truth."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import LAMS, trajectory, truth

from pa_harness.analysis.choice import SPLITS, choose
from pa_harness.analysis.resampling import generator, halves
from pa_harness.analysis.trajectory import TaskCurve, Trajectory
from pa_harness.errors import RunError


def curve(name: str, values: object, category: str) -> TaskCurve:
    array = np.asarray(values, dtype=float)
    return TaskCurve(name, name, category, "m,none", array, np.arange(array.shape[1]))


def known(icl: list[float], followed: list[float] | None) -> Trajectory:
    """Three λ with these means exactly: every document is alike."""
    lams = np.array([0.0, 0.5, 1.0])
    tasks = [curve("icl", np.repeat(np.array(icl)[:, None], 40, axis=1), "reading")]
    if followed:
        tasks.append(curve("if", np.repeat(np.array(followed)[:, None], 30, axis=1), "instruction"))
    return Trajectory("known", lams, tuple(tasks), ())


def test_each_rule_and_the_front() -> None:
    found = choose(known([0.7, 0.6, 0.5], [0.1, 0.59, 0.6]), 0.02, {"ICL": 1, "IF": 1})
    by = {choice.rule: choice for choice in found.choices}
    assert (by["best"].lam, by["constrained"].lam, by["weighted"].lam) == (0.0, 0.5, 0.5)
    assert by["best"].instruction_change == pytest.approx(-0.5)
    assert by["constrained"].gain.estimate == pytest.approx(0.1)
    assert by["constrained"].verdict == "better"
    assert by["constrained"].sentence == (
        "By the rule 'best ICL with IF ≥ 98% of IF(1)' λ = 0.5 is chosen out of 3 values of λ; "
        "choosing so gains +10.00 points (95% interval +10.00 to +10.00; cross-fitted over 200 "
        "random halvings of the documents, 1 task) over λ = 1."
    )
    assert found.pareto == (0.0, 0.5, 1.0)
    assert choose(known([0.7, 0.6, 0.5], [0.6, 0.59, 0.6])).pareto == (0.0,)


def test_a_negative_if_may_lose_its_share_too() -> None:
    found = choose(known([0.7, 0.6, 0.5], [-2.0, -1.01, -1.0]), 0.02)
    assert [choice.lam for choice in found.choices] == [0.0, 0.5]
    # 98% of a negative number would be more than it
    assert found.choices[1].meaning == "best ICL with IF at most 2% of |IF(1)| below IF(1)"


def test_what_is_no_fraction_has_no_points() -> None:
    found = choose(known([0.7, 0.6, 0.5], [-2.0, -1.0, -1.5]), 0.02, {"ICL": 1, "IF": 1})
    by = {choice.rule: choice.sentence for choice in found.choices}
    assert "gains +20.00 points (95%" in by["best"]
    assert "gains +0.3000 (95% interval +0.3000 to +0.3000; cross" in by["weighted"]


def test_nothing_to_choose_is_said_so() -> None:
    found = choose(known([0.5, 0.5, 0.5], None))
    (choice,) = found.choices
    assert (choice.lam, choice.verdict, found.pareto) == (1.0, "indistinguishable", ())
    assert choice.sentence.startswith("No λ is distinguishable from 1: by the rule 'best ICL'")
    (worse,) = choose(known([0.1, 0.2, 0.5], None)).choices
    assert (worse.lam, worse.verdict) == (1.0, "kept")
    assert worse.sentence == (
        "By the rule 'best ICL' λ = 1 is chosen out of 3 values of λ, and in every one of 400 "
        "random halves of the documents."
    )


def test_where_some_are_worse_and_none_is_better() -> None:
    means = np.full((2, 11), 0.5)
    means[:, :3] = 0.3
    found = trajectory(means, 300, np.random.default_rng(2))
    (choice,) = choose(found).choices
    assert choice.verdict == "unclear"
    assert choice.sentence.startswith("No λ is distinguishably better than 1: by the rule")


def test_the_gain_against_a_loop_over_splits_and_documents() -> None:
    found = trajectory(truth("peak", 2), 31, np.random.default_rng(7))
    (choice,) = choose(found, seed=3).choices
    first = {t.name: halves(31, SPLITS, generator(3, f"split {t.name}")) for t in found.tasks}
    gains, variances = [], []
    for split in range(SPLITS):
        lam_of = {}
        for side in (True, False):
            means = sum(
                each.values[:, first[each.name][split] == side].mean(axis=1) for each in found.tasks
            )
            lam_of[side] = max(range(11), key=lambda row: (means[row].round(12), row))
        gain = variance = 0.0
        for each in found.tasks:
            differences = [
                each.values[lam_of[not first[each.name][split][n]], n] - each.values[-1, n]
                for n in range(31)
            ]
            gain += np.mean(differences) / 2
            variance += np.var(differences, ddof=1) / 31 / 4
        gains.append(gain)
        variances.append(variance)
    assert choice.gain.estimate == pytest.approx(np.mean(gains), abs=2e-3)
    half = 1.96 * np.sqrt(np.mean(variances))
    assert choice.gain.high - choice.gain.estimate == pytest.approx(half, rel=0.02)


def test_the_best_of_many_flatters_and_the_cross_fitted_gain_does_not() -> None:
    """Where nothing differs, naive gains are above 0, cross-fitted ones near it, none "better"."""
    naive, honest, better = [], [], []
    for number in range(120):
        found = trajectory(truth("flat", 3), 60, np.random.default_rng(number))
        (choice,) = choose(found, seed=number).choices
        naive.append(choice.naive_gain)
        honest.append(choice.gain.estimate)
        better.append(choice.verdict == "better")
    assert np.mean(naive) > 0.01
    assert abs(np.mean(honest)) < 0.005
    assert np.mean(better) <= 0.05


def test_a_real_gain_is_found() -> None:
    found = trajectory(truth("peak", 6), 1500, np.random.default_rng(0))
    (choice,) = choose(found).choices
    assert choice.verdict == "better"
    assert 0.3 <= choice.lam <= 0.7
    assert choice.gain.low < 0.03 < choice.gain.high + 0.01
    assert sum(choice.often) == pytest.approx(1)


def test_what_cannot_be_chosen() -> None:
    whole = known([0.5, 0.6, 0.7], None)
    part = Trajectory("x", LAMS[:1], (curve("a", [[1, 2]], "c"),), ())
    with pytest.raises(RunError, match=r"The sweep has λ = 0, not λ = 1\. A choice is a gain"):
        choose(part)
    only = Trajectory("x", np.array([1.0]), (curve("a", [[1, 2]], "instruction"),), ())
    with pytest.raises(RunError, match=r"no task for ICL: all are of the category instruction"):
        choose(only)
    for weights in ({"IF": 1.0}, {"ICL": 0.0}, {"ICL": -1.0, "reading": 2.0}, {"no": 1.0}):
        with pytest.raises(RunError, match=r"expected numbers from 0, not all 0, for names out of"):
            choose(whole, weights=weights)
