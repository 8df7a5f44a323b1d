"""Several evaluations against the first: differences, intervals, p, verdicts; by task and suite.

A difference is paired: the mean over documents of other − first, with the interval of
`analysis.measure` (clusters of documents are the units). p is exact for right and wrong answers
(`analysis.pairs.chance`), and Holm's correction is over all tasks and evaluations of the table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.analysis.frame import Frame, reach_of
from pa_harness.analysis.intervals import TIE, critical
from pa_harness.analysis.measure import Measure, detectable, difference_bounds
from pa_harness.analysis.pairs.chance import few_p, holm, sign_p, t_p
from pa_harness.analysis.pairs.ledger import guessing, moves_of
from pa_harness.analysis.pairs.pairing import check_alike, pairs_of
from pa_harness.analysis.pairs.rows import Compared, Comparison, verdict_on
from pa_harness.analysis.trajectory import Suite, TaskCurve, Trajectory, even_suite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.analysis.intervals import Array
    from pa_harness.analysis.pairs.pairing import Pairs
    from pa_harness.runs.logged import Evaluation, Logged


def compare(evaluations: Sequence[Evaluation], *, paired: bool = True) -> Comparison:
    """Hold all evaluations against the first.

    Args:
        evaluations: two or more.
        paired: by document; else their means are compared as of different documents.

    Raises:
        RunError: they share no task, or were not asked the same (`paired`).
    """
    first, *others = evaluations
    tasks: list[Compared] = []
    suites: list[Compared] = []
    notes = [note for each in evaluations for note in each.notes]
    for other in others:
        labels = (first.label, other.label)
        found, more = pairs_of(first, other)
        notes += more
        if paired:
            check_alike(found, labels)
            notes += [note for each in found for note in each.notes(labels)]
        else:
            notes += [f"{e.task}: {e.differing()}." for e in found if e.differing()]
        table = _Table(found, labels, paired=paired)
        tasks += [table.row(suite, of) for suite, of in table.tasks()]
        averages = table.averages()
        suites += [table.row(suite) for suite in averages]
        outside = [t.name for t in table.curves if not t.averaged]
        if averages and outside:
            notes.append(f"{', '.join(outside)}: in no average (no share of right answers).")
    corrected = holm([row.p for row in tasks])
    tasks = [replace(row, corrected_p=p) for row, p in zip(tasks, corrected, strict=True)]
    return Comparison(
        tuple(each.label for each in evaluations),
        paired,
        tuple(replace(row, verdict=verdict_on(row)) for row in tasks),
        tuple(replace(row, verdict=verdict_on(row)) for row in suites),
        tuple(dict.fromkeys(notes)),
    )


class _Table:
    """One evaluation against the first: row 0 of every curve is the first, row 1 the other."""

    def __init__(self, pairs: Sequence[Pairs], labels: tuple[str, str], *, paired: bool) -> None:
        self._pairs, self._labels, self._paired = pairs, labels, paired
        self.curves = [_curve(each, paired=paired) for each in pairs]
        self._frame = Frame(self.curves)
        guesses = {each.task: guessing(each.first.options[each.in_first]) for each in pairs}
        self._guesses = guesses if paired else {}
        self._sides = [
            {each.task: _side(each.task, each.first) for each in pairs},
            {each.task: _side(each.task, each.other) for each in pairs},
        ]

    def tasks(self) -> list[tuple[Suite, Pairs]]:
        """Each task alone."""
        return [
            (even_suite(curve.name, [curve]), of)
            for curve, of in zip(self.curves, self._pairs, strict=True)
        ]

    def averages(self) -> list[Suite]:
        """ICL, IF and categories where the tasks say what they are, else one of all tasks."""
        counting = [curve for curve in self.curves if curve.averaged]
        if len({curve.counted for curve in counting}) < 2:
            return []
        if any(curve.category for curve in counting):
            found = Trajectory("", np.arange(2.0), tuple(counting), ()).suites()
            return [suite for suite in found if len(suite.counted) > 1]
        return [even_suite("all tasks", counting)]

    def row(self, suite: Suite, of: Pairs | None = None) -> Compared:
        """One row of the table.

        Args:
            suite: a task alone, or an average.
            of: its documents, where it is a task.
        """
        found, clusters, count = self._measured(suite)
        t = float(critical(found.degrees)[1])
        low, high = difference_bounds(found, critical(found.degrees))
        estimate, error = float(found.estimate[1]), float(np.sqrt(found.variance[1]))
        one, two = suite.mean().tolist()
        up = of is None or of.first.score.higher_is_better
        lost, won = self._moves(suite, up=up)
        p, exact = self._chance(suite, found, error)
        row = Compared(
            task=suite.name,
            metric="" if of is None else of.first.score.key,
            a=one,
            b=two,
            difference=estimate,
            low=float(low[1]),
            high=float(high[1]),
            p=p,
            n=count,
            clusters=clusters,
            lost=lost,
            won=won,
            first=self._labels[0],
            other=self._labels[1],
            corrected_p=p,
            detectable=float(detectable(found, t)[1]),
            error=error,
            higher_is_better=up,
            exact=exact,
        )
        return replace(row, **self._corrected(suite))

    def _corrected(self, suite: Suite) -> dict[str, Any]:
        """What is lost and won without guessing, where that can be told."""
        if not self._paired or not all(task.averaged for task in suite.tasks):
            return {}
        moves = moves_of(self._frame, suite, 0, self._guesses)
        found = {}
        for name, each in (("lost", moves.lost_corrected), ("won", moves.won_corrected)):
            if each is not None:
                found[f"{name}_corrected"] = float(each.estimate[1])
                found[f"{name}_corrected_low"] = float(each.low[1])
                found[f"{name}_corrected_high"] = float(each.high[1])
        return found

    def _measured(self, suite: Suite) -> tuple[Measure, int, int]:
        """Other − first, the clusters and the documents."""
        if self._paired:
            count = sum(task.values.shape[1] for task in suite.tasks)
            return self._frame.against(suite, 0), self._frame.clusters(suite), count
        parts = []
        for tasks in self._sides:
            frame = Frame([*tasks.values()])
            own = Suite(suite.name, tuple(tasks[t.name] for t in suite.tasks), suite.weights)
            count = sum(task.values.shape[1] for task in own.tasks)
            parts.append((frame.measure(own), frame.clusters(own), count))
        (one, clusters, count), (two, more_clusters, more) = parts
        return _apart(one, two), clusters + more_clusters, count + more

    def _moves(self, suite: Suite, *, up: bool) -> tuple[int | None, int | None]:
        if not self._paired:
            return None, None
        change = [task.values[1] - task.values[0] for task in suite.tasks]
        fell = sum(int((each < 0).sum()) for each in change)
        rose = sum(int((each > 0).sum()) for each in change)
        return (fell, rose) if up else (rose, fell)

    def _by_cluster(self, suite: Suite) -> Array:
        """What each cluster adds to the difference."""
        found: dict[str, Array] = {}
        for task, weight in zip(suite.tasks, suite.weights, strict=True):
            name, groups = self._frame.groups(task)
            whole = found.setdefault(name, np.zeros(self._frame.sizes[name]))
            change = task.values[1] - task.values[0]
            whole[groups.present] += weight / len(change) * groups.sums(change)
        return np.concatenate([*found.values()])

    def _chance(self, suite: Suite, found: Measure, error: float) -> tuple[float, bool]:
        if self._paired:
            task = suite.tasks[0]
            if len(suite.tasks) == 1 and np.isin(task.values, (0.0, 1.0)).all():
                _, groups = self._frame.groups(task)
                return sign_p(groups.sums(task.values[1] - task.values[0]).astype(np.int64)), True
            few = few_p(self._by_cluster(suite))
            if few is not None:
                return few, True
        return t_p(float(found.estimate[1]), error, float(found.degrees[1])), False


def _curve(pairs: Pairs, *, paired: bool) -> TaskCurve:
    """Row 0 is the first, row 1 the other: paired documents, or the mean of all as one."""
    score, sides = pairs.first.score, (pairs.first, pairs.other)
    ids, clusters = np.zeros(1, dtype=np.int64), None
    values = np.array([[np.nanmean(side.values)] for side in sides])
    if paired:
        ids, clusters = pairs.first.ids[pairs.in_first], pairs.first.clusters[pairs.in_first]
        values = paired_values(pairs)
    averaged = bool(score.higher_is_better and values.min() >= 0 and values.max() <= 1)
    return TaskCurve(
        *(pairs.task, score.counts_as or pairs.task, score.category, score.key, values, ids),
        averaged=averaged,
        baseline=score.random_baseline,
        clusters=clusters,
    )


def paired_values(pairs: Pairs) -> Array:
    """Of both, shape (2, documents); what differs by numerical noise does not (`intervals.TIE`)."""
    a, b = pairs.first.values[pairs.in_first], pairs.other.values[pairs.in_other]
    if not len(a):
        return np.stack([a, b])
    noise = np.abs(b - a) <= TIE * reach_of(np.stack([a, b]))
    return np.stack([a, np.where(noise, a, b)])


def _side(name: str, side: Logged) -> TaskCurve:
    """All documents of one side, shape (1, documents)."""
    known = ~np.isnan(side.values)
    score = side.score
    return TaskCurve(
        *(name, score.counts_as or name, score.category, score.key, side.values[None, known]),
        side.ids[known],
        clusters=side.clusters[known],
    )


def _apart(one: Measure, two: Measure) -> Measure:
    """What `two` has more than `one`, of different documents; row 0 is nothing."""
    influence, freedom = {}, {}
    for sign, name, side in ((-1.0, "first", one), (1.0, "other", two)):
        for (kind, units), part in side.influence.items():
            place = (kind, f"{name} {units}")
            influence[place] = np.concatenate([0 * part, sign * part])
            freedom[place] = side.freedom[kind, units]
    return Measure(
        np.array([0.0, two.estimate[0] - one.estimate[0]]),
        influence,
        freedom,
        np.array([0.0, one.scale[0] + two.scale[0]]),
        max(one.reach, two.reach),
    )
