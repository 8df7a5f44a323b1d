"""The ledger: its sums, its correction for guessing, its place in report and tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from simulated import LAMS, Design, simulate, truth

from pa_harness.analysis.frame import Frame
from pa_harness.analysis.pairs.ledger import ledger, moved_documents, moves_of
from pa_harness.analysis.trajectory import TaskCurve, Trajectory, even_suite


def curve(values: object, baseline: float = float("nan"), clusters: object = None) -> TaskCurve:
    array = np.asarray(values, dtype=float)
    units = None if clusters is None else np.asarray(clusters)
    ids = np.arange(array.shape[1])
    return TaskCurve("t", "t", "c", "acc,none", array, ids, baseline=baseline, clusters=units)


@given(
    st.integers(2, 40).flatmap(
        lambda n: st.tuples(
            *(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=n, max_size=n) for _ in "ab")
        )
    )
)
def test_won_less_lost_is_the_difference(sides: tuple[list[float], list[float]]) -> None:
    """Of right and wrong answers and of graded ones."""
    task = curve(sides)
    moves = moves_of(Frame([task]), even_suite("t", [task]), 0, {})
    before, after = task.values
    assert moves.won.estimate[1] - moves.lost.estimate[1] == pytest.approx(
        after.mean() - before.mean()
    )
    assert moves.lost.estimate[1] == pytest.approx(np.mean(np.clip(before - after, 0, None)))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.25, 0.5]))
def test_the_corrected_sum_is_the_difference_between_guessing_and_perfect(
    seed: int, guess: float
) -> None:
    values = np.random.default_rng(seed).integers(0, 2, (2, 50)).astype(float)
    task = curve(values)
    moves = moves_of(Frame([task]), even_suite("t", [task]), 0, {"t": guess})
    assert moves.won_corrected is not None
    assert moves.lost_corrected is not None
    won, lost = moves.won_corrected.estimate[1], moves.lost_corrected.estimate[1]
    assert min(won, lost) >= 0
    if min(won, lost) > 0:
        assert won - lost == pytest.approx((values[1] - values[0]).mean() / (1 - guess))
    same = moves_of(Frame([task]), even_suite("t", [task]), 1, {"t": guess})
    assert same.lost_corrected is not None
    assert same.lost_corrected.estimate[1] == 0


@pytest.mark.parametrize("options", [2, 4])
@pytest.mark.parametrize(("forgot", "learnt"), [(0.0, 0.0), (0.0, 0.2), (0.1, 0.05)])
@pytest.mark.parametrize("passage", [1, 5])
def test_of_guessing_models_it_finds_what_was_forgotten(
    options: int, forgot: float, learnt: float, passage: int
) -> None:
    """In 95% of simulations, up to Monte-Carlo errors; plain shares are far off."""
    held, plain, repetitions, count = 0, 0.0, 200, 400
    for number in range(repetitions):
        random = np.random.default_rng([number, options])
        state = np.repeat(random.random(count // passage), passage)  # a passage is known, or not
        knew = state < 0.4
        knows = ((state >= 0.4 * forgot / 0.4) & knew) | ((state > 0.4) & (state < 0.4 + learnt))
        luck = random.random((2, count)) < 1 / options
        values = np.where(np.stack([knew, knows]), True, luck).astype(float)
        task = curve(values, clusters=np.arange(count) // passage)
        moves = moves_of(Frame([task]), even_suite("t", [task]), 0, {"t": 1 / options})
        found = moves.lost_corrected
        assert found is not None
        held += found.low[1] <= forgot <= found.high[1]
        plain += moves.lost.estimate[1] / repetitions
    assert held / repetitions >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / repetitions)
    assert plain > forgot + 0.05


@pytest.mark.parametrize(("count", "passage"), [(40, 1), (300, 1), (300, 5)])
@pytest.mark.parametrize("options", [1, 2, 4])
@pytest.mark.parametrize(("known", "forgot"), [(0.4, 0.0), (0.4, 0.05), (0.95, 0.02), (0.95, 0.2)])
def test_the_corrected_interval_is_never_certain_of_nothing(
    count: int, options: int, known: float, forgot: float, passage: int
) -> None:
    """It holds in 93% and more, of few documents and few changes, and has a width."""
    held, repetitions = 0, 150
    for number in range(repetitions):
        random = np.random.default_rng([number, options])
        state = np.repeat(random.random(count // passage), passage)
        knows = np.stack([state < known, (state < known) & (state >= forgot)])
        luck = random.random((2, count)) < (1 / options if options > 1 else 0)
        task = curve(np.where(knows, True, luck), clusters=np.arange(count) // passage)
        guess = 1 / options if options > 1 else 0.0
        found = moves_of(Frame([task]), even_suite("t", [task]), 0, {"t": guess}).lost_corrected
        assert found is not None
        assert found.high[1] > 0
        assert found.high[0] == 0, "against itself nothing can be lost"
        held += found.low[1] <= forgot <= found.high[1]
    assert held / repetitions >= 0.93 - 2 * np.sqrt(0.07 * 0.93 / repetitions)


@pytest.mark.parametrize(("lost", "wrong"), [(2, 10), (0, 0), (1, 30), (0, 38), (5, 35)])
def test_where_guessing_takes_more_off_than_was_lost_the_high_end_stays(
    lost: int, wrong: int
) -> None:
    """At least what the number's own error allows from 0 on."""
    before, after = np.ones(40), np.ones(40)
    before[lost : lost + wrong] = after[: lost + wrong] = 0
    task = curve([before, after])
    found = moves_of(Frame([task]), even_suite("t", [task]), 0, {"t": 0.5}).lost_corrected
    assert found is not None
    each = (np.maximum(before - after, 0) - (1 - before) * (1 - after)) / 0.5
    error = each.std(ddof=1) / np.sqrt(40)
    assert found.estimate[1] == max(each.mean(), 0)
    assert found.low[1] == 0
    assert found.high[1] >= found.estimate[1] + stats.t.ppf(0.975, 39) * error - 1e-12
    assert found.high[1] > 0.05, "none of 40 is not none of all"


def test_what_guessing_scores_is_told_by_the_options_where_no_task_says_it() -> None:
    """A sweep's ledger corrects as `compare` does; what is said goes before what is counted."""
    random = np.random.default_rng(0)
    values = random.integers(0, 2, (2, 60)).astype(float)
    counts = np.tile(random.choice([2.0, 4.0, 5.0], 60), (2, 1))
    lams = np.array([0.0, 1.0])
    for options, guess in ((counts, 1 / counts[0]), (np.ones((2, 60)), 0.0)):
        task = replace(curve(values), more={"count,options": options})
        one = next(line for line in ledger(Trajectory("x", lams, (task,), ())).lines)
        expected = moves_of(Frame([task]), even_suite("ICL", [task]), 1, {"t": guess})
        np.testing.assert_array_equal(
            one.moves.lost_corrected.estimate, expected.lost_corrected.estimate
        )
    said = replace(curve(values, 0.25), more={"count,options": counts})
    one = next(line for line in ledger(Trajectory("x", lams, (said,), ())).lines)
    expected = moves_of(Frame([said]), even_suite("ICL", [said]), 1, {"t": 0.25})
    np.testing.assert_array_equal(
        one.moves.lost_corrected.estimate, expected.lost_corrected.estimate
    )
    (line, *_) = ledger(Trajectory("x", lams, (curve(values),), ())).lines
    assert line.moves.lost_corrected is None


def test_of_a_sweep_there_are_both_ends_and_rows() -> None:
    random = np.random.default_rng(0)
    tasks = simulate(Design(50), truth("peak", 2), random).tasks
    tasks += simulate(Design(40), truth("rise", 1), random, "instruction").tasks
    whole = Trajectory("simulated", LAMS, tasks, ())
    found = ledger(whole)
    names = ["ICL", "IF", "category c", "c 0", "c 1", "instruction 0"]
    assert [(line.name, line.against) for line in found.lines] == [
        (name, against) for against in (1.0, 0.0) for name in names
    ]
    rows = moved_documents(whole)
    for line in found.lines:
        if line.kind != "task":
            continue
        at = whole.at(line.against)
        for number, lam in enumerate(found.lams):
            of = [r for r in rows if (r.task, r.against, r.lam) == (line.name, line.against, lam)]
            lost = sum(row.change == "lost" for row in of)
            assert line.moves.lost.estimate[number] == pytest.approx(lost / line.documents)
            assert len(of) == round(
                line.documents * (line.moves.lost.estimate + line.moves.won.estimate)[number]
            )
        assert line.moves.lost.estimate[at] == line.moves.won.estimate[at] == 0
        assert line.moves.lost_corrected is None  # their chance of guessing is not known


def test_draws_of_the_shots_are_counted_each() -> None:
    (task,) = simulate(
        Design(60, draws=3, spread=0.05), truth("flat", 1), np.random.default_rng(0)
    ).tasks
    moves = moves_of(Frame([task]), even_suite("t", [task]), 10, {task.name: 0.25})
    assert task.by_draw is not None
    expected = np.maximum(task.by_draw[:, [10]] - task.by_draw, 0).mean(axis=(0, 2))
    assert moves.lost.estimate == pytest.approx(expected)
    assert moves.lost_corrected is not None
