"""Choosing λ: the rules against brute force, the gain against known truth."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from simulated import LAMS, trajectory, truth

from pa_harness.analysis.asked.language import Asked
from pa_harness.analysis.choice import choose
from pa_harness.analysis.summary import summarise
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
    found = choose(known([0.7, 0.6, 0.5], [0.1, 0.59, 0.6]), 0.05, {"ICL": 1, "IF": 1}, 0.5)
    by = {choice.rule: choice for choice in found.choices}
    assert (by["best"].lam, by["constrained"].lam, by["weighted"].lam) == (0.0, 0.5, 0.5)
    assert by["best"].instruction_change.estimate == pytest.approx(-0.5)
    assert by["constrained"].gain.estimate == pytest.approx(0.1)
    assert by["constrained"].verdict == "better"
    assert by["constrained"].admitted == (False, True, True)
    assert by["constrained"].sentence.startswith(
        "λ = 0.5 is better than λ = 1 by the rule 'best ICL with IF ≥ 95% of IF(1)': +10.00 point"
    )
    assert "95% for all 3 λ at once" in by["constrained"].sentence
    assert found.pareto == (0.0, 0.5, 1.0)
    assert choose(known([0.7, 0.6, 0.5], [0.6, 0.59, 0.6])).pareto == (0.0,)


def test_a_negative_if_may_lose_its_share_too() -> None:
    found = choose(known([0.7, 0.6, 0.5], [-2.0, -1.01, -1.0]), 0.02, confidence=0.5)
    assert [choice.lam for choice in found.choices] == [0.0, 0.5]
    # 98% of a negative number would be more than it
    assert found.choices[1].meaning == "best ICL with IF at most 2% of |IF(1)| below IF(1)"


def test_what_is_no_fraction_has_no_points() -> None:
    found = choose(known([0.7, 0.6, 0.5], [-2.0, -1.0, -1.5]), 0.02, {"ICL": 1, "IF": 1})
    by = {choice.rule: choice.sentence for choice in found.choices}
    assert "gains +20.00 points (95%" in by["best"]
    assert re.search(r"gains \+0\.3000 \(95% interval \+0\.\d{4} to", by["weighted"])


def test_nothing_to_choose_is_said_so() -> None:
    (choice,) = choose(trajectory(truth("peak", 2), 100, np.random.default_rng(0))).choices
    assert (choice.lam, choice.verdict) == (1.0, "indistinguishable")
    assert choice.sentence.startswith(
        "Keep λ = 1 by the rule 'best ICL': no λ is shown to be better or worse (best candidate"
    )
    assert "80% of such sweeps would have found a difference of" in choice.sentence
    equal = choose(known([0.5, 0.5, 0.5], None))
    assert (equal.choices[0].lam, equal.choices[0].candidate, equal.pareto) == (1.0, 1.0, ())
    assert equal.choices[0].verdict == "kept"
    (worse,) = choose(known([0.1, 0.2, 0.5], None)).choices
    assert (worse.lam, worse.verdict) == (1.0, "kept")
    assert worse.sentence.startswith("Keep λ = 1 by the rule 'best ICL'. 80% of such sweeps would")
    assert "No λ differs from it: the same on all 40 documents. 80% of" in equal.choices[0].sentence
    (alone,) = choose(Trajectory("k", np.ones(1), (curve("a", [[0, 1] * 20], "c"),), ())).choices
    assert alone.sentence == "Keep λ = 1 by the rule 'best ICL': no other was swept."


def test_exact_ties_go_to_the_lam_nearest_1() -> None:
    """Sums in another order differ in their last digits, and are the same."""
    random = np.random.default_rng(0)
    for _ in range(20):
        rows = [random.permutation(40) < 17 for _ in range(11)]
        tasks = [curve(name, random.permutation(rows), name) for name in "abc"]
        (choice,) = choose(Trajectory("ties", LAMS, tuple(tasks), ())).choices
        assert choice.candidate == 1.0


def test_few_documents_have_no_verdict() -> None:
    values = np.array([[1.0] * 19, [0.0] * 19])
    few = Trajectory("few", np.array([0.0, 1.0]), (curve("a", values, "c"),), ())
    (choice,) = choose(few).choices
    assert (choice.verdict, choice.lam) == ("few", 1.0)
    assert choice.sentence == (
        "No verdict by the rule 'best ICL': 19 documents are too few to tell λ apart."
    )
    passages = replace(few.tasks[0], values=np.repeat(values[:, :10], 5, 1), ids=np.arange(50))
    passages = replace(passages, clusters=np.arange(50) // 5)
    (choice,) = choose(replace(few, tasks=(passages,))).choices
    assert choice.verdict == "few"
    assert "50 documents in 10 clusters are too few" in choice.sentence
    one = replace(few, tasks=(curve("a", [[1.0], [0.0]], "c"),))
    assert "nan" not in choose(one).choices[0].sentence


def test_where_some_are_worse_and_none_is_better() -> None:
    means = np.full((2, 11), 0.5)
    means[:, :3] = 0.3
    (choice,) = choose(trajectory(means, 300, np.random.default_rng(2))).choices
    assert choice.verdict == "unclear"
    assert "no λ is shown to be better, some are worse (best candidate" in choice.sentence


def test_the_verdict_is_the_bands() -> None:
    """Better exactly where the band leaves out 0 upwards; the candidate is one of these λ."""
    seen = set()
    for number in range(12):
        found = trajectory(truth("peak", 4), 150, np.random.default_rng(number))
        (choice,) = choose(found).choices
        curve_ = summarise(found).curve("ICL")
        assert curve_ is not None
        assert curve_.to_instruct is not None
        above = curve_.to_instruct.band_low > 0
        assert (choice.verdict == "better") == above.any() == (choice.low > 0)
        assert choice.lam == (choice.candidate if above.any() else 1)
        row = int(np.flatnonzero(found.lams == choice.candidate)[0])
        assert choice.low == curve_.to_instruct.band_low[row]
        seen.add(choice.verdict)
    assert seen >= {"better", "indistinguishable"}


def test_the_smallest_effect_that_is_found() -> None:
    """Where the truth is that much better at one λ, about 80% of sweeps say so."""
    means = np.full((4, 3), 0.5)
    sizes = [choose(_three(means, number)).choices[0].detectable for number in range(20)]
    means[:, 1] += np.mean(sizes)
    found = [choose(_three(means, 100 + number)).choices[0].verdict for number in range(100)]
    assert 0.65 < np.mean([each == "better" for each in found]) < 0.9


def test_the_smallest_effect_where_few_documents_change() -> None:
    """What changes no document says little of what would have been seen: a few must change."""
    never = np.zeros((3, 200))
    effect = choose(_alone(never)).choices[0].detectable
    assert 0.02 < effect < 0.04
    seen = []
    for number in range(100):
        never[1] = np.random.default_rng(number).random(200) < effect
        (choice,) = choose(_alone(never)).choices
        seen.append(choice.verdict == "better")
        assert choice.gain.low < choice.gain.estimate < choice.gain.high or not never.any()
    assert 0.65 < np.mean(seen) < 0.95


def test_few_documents_are_never_better() -> None:
    """Nor where λ = 1 may not be chosen."""
    found = known([0.1, 0.9, 0.5], [0.5, 0.5, 0.1])
    few = [replace(task, values=task.values[:, :8], ids=task.ids[:8]) for task in found.tasks]
    asked = Asked("ICL", ("IF>=0.2",))
    (choice,) = choose(replace(found, tasks=tuple(few)), confidence=0.5, asked=asked).choices
    assert (choice.verdict, choice.candidate) == ("needed", 0.5)


def _alone(values: np.ndarray) -> Trajectory:
    return Trajectory("known", np.array([0.0, 0.5, 1.0]), (curve("icl", values, "c"),), ())


def _three(means: np.ndarray, number: int) -> Trajectory:
    return trajectory(means, 200, np.random.default_rng(number))


def test_the_best_of_many_flatters_and_the_cross_fitted_gain_does_not() -> None:
    """Where nothing differs, the best is above 0, the cross-fitted gain near it, none "better"."""
    naive, honest, better = [], [], []
    for number in range(100):
        found = trajectory(truth("flat", 3), 60, np.random.default_rng(number))
        (choice,) = choose(found).choices
        values = np.mean([task.values.mean(axis=1) for task in found.tasks], axis=0)
        naive.append(values.max() - values[-1])
        honest.append(choice.gain.estimate)
        better.append(choice.verdict == "better")
    assert np.mean(naive) > 0.02
    assert abs(np.mean(honest)) < 0.005
    assert np.mean(better) <= 0.05


def test_a_real_gain_is_found() -> None:
    found = trajectory(truth("peak", 6), 1500, np.random.default_rng(0))
    (choice,) = choose(found).choices
    assert choice.verdict == "better"
    assert 0.3 <= choice.lam <= 0.7
    assert choice.gain.low < 0.03 < choice.gain.high + 0.01
    assert sum(choice.often) == pytest.approx(1)


def test_a_cliff_is_not_smoothed_away() -> None:
    """λ = 1 alone is 8 points better, or λ = 0.9 alone: the candidate is that one."""
    for row in (9, 10):
        means = np.full((4, 11), 0.5)
        means[:, row] = 0.58
        found = [
            choose(trajectory(means, 300, np.random.default_rng(n))).choices[0].candidate
            for n in range(15)
        ]
        assert found.count(LAMS[row]) >= 14


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
    for tolerance in (-0.5, 1.0, float("nan")):
        with pytest.raises(RunError, match=r"--tolerance .*: expected a share of IF\(1\) that may"):
            choose(whole, tolerance)
    for confidence in (0.4, 1.0, float("nan")):
        with pytest.raises(RunError, match=r"--confidence .*: expected how sure a constraint is"):
            choose(whole, confidence=confidence)
