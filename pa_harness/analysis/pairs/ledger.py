"""What was lost and what was won, document by document, between one model and another.

Of answers that are right (1) or wrong (0), with a before and b after,

    lost = mean of max(a − b, 0)   (right → wrong),   won = mean of max(b − a, 0)   (wrong → right),

so that won − lost is the difference of accuracies; of graded answers the same are amounts. Harmon
et al. 2025 ("Mapping Post-Training Forgetting", arXiv 2510.17776) count such transitions, and take
off what guessing among k options is expected to bring, told from the two accuracies. Here it is
taken off what is known of each document. A model knows an answer, or guesses with chance g = 1/k of
being right, and guesses anew each time. With w the share of documents wrong both times, those that
neither knew are w / (1 − g)², of which g (1 − g) seem lost and as many won. What is known and then
no more is

    lost, corrected = (lost − w g / (1 − g)) / (1 − g),

and won likewise (the latent classes of Cor and Sood 2018), 0 where that is below 0. Before it is
cut off there, corrected won − lost is the difference of accuracies over (1 − g). It differs from
the paper in that it needs no model of how known answers overlap, and is a mean over documents, so
that it has their interval, clusters included. Of a number that was cut off the interval is that of
0: its high end is not moved down with the number. And it is never narrower than so few lost
documents allow (`analysis.intervals`), one of which is 1/(1 − g) known ones. Models close to each
other guess alike: then fewer answers change by chance than is taken off. The corrected number is
therefore a lower bound; lost / (1 − g), where no change is put down to guessing, an upper bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.frame import Frame
from pa_harness.analysis.intervals import Pointwise, critical
from pa_harness.analysis.measure import Measure, difference_bounds, values
from pa_harness.analysis.trajectory import Suite, even_suite
from pa_harness.runs.samples import COUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pa_harness.analysis.intervals import Array
    from pa_harness.analysis.trajectory import TaskCurve, Trajectory


@dataclass(frozen=True)
class Moves:
    """Shares of documents along λ, with 95% intervals; corrected ones None where g is not known."""

    lost: Pointwise
    won: Pointwise
    lost_corrected: Pointwise | None
    won_corrected: Pointwise | None


@dataclass(frozen=True)
class Line:
    """One task or average of a ledger."""

    name: str
    kind: str  # suite or task
    against: float  # λ before
    documents: int
    clusters: int
    moves: Moves


@dataclass(frozen=True)
class Ledger:
    """What each λ has lost and won against λ = 0 and λ = 1."""

    lams: tuple[float, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Moved:
    """A document that is answered otherwise than at the λ before."""

    task: str
    document: int
    against: float
    lam: float
    change: str  # lost or won
    before: float
    after: float
    doc_hash: str = ""  # lm-eval's, SHA-256; empty where no sample log has it


def ledger(trajectory: Trajectory) -> Ledger:
    """The ledger of a sweep, of averages and of the counted tasks that are in one."""
    frame, lines = Frame(trajectory.tasks), []
    counting = [task for task in trajectory.tasks if task.averaged]
    tasks = [
        even_suite(name, [task for task in counting if task.counted == name])
        for name in dict.fromkeys(task.counted for task in counting)
    ]
    guesses = {task.name: _guess(task) for task in trajectory.tasks}
    for against in (1.0, 0.0):
        row = trajectory.at(against)
        groups = (("suite", trajectory.suites()), ("task", tasks))
        for kind, suite in ((kind, s) for kind, group in groups for s in group):
            if row is not None:
                count = sum(task.values.shape[1] for task in suite.tasks)
                moves = moves_of(frame, suite, row, guesses)
                size = (count, frame.clusters(suite))
                lines.append(Line(suite.name, kind, against, *size, moves))
    return Ledger(tuple(float(lam) for lam in trajectory.lams), tuple(lines))


def guessing(options: Array | NDArray[np.int64]) -> Array:
    """How often a guess is right, of each document with so many options; 0 of free text (1)."""
    found: Array = np.where(options > 1, 1 / np.maximum(options, 1), 0.0)
    return found


def _guess(task: TaskCurve) -> Array | float:
    """As the task says, else as its documents' options do; NaN where neither is known."""
    if math.isnan(task.baseline) and COUNT in task.more:
        return guessing(task.more[COUNT][0])
    return task.baseline


def moves_of(frame: Frame, suite: Suite, row: int, guesses: Mapping[str, Array | float]) -> Moves:
    """What an average has lost and won against one of its rows.

    Args:
        frame: of the tasks.
        suite: the average.
        row: before.
        guesses: g of each task, of all documents or of each; NaN: not known.
    """
    count = sum(task.values.shape[1] for task in suite.tasks)
    crowd = count / frame.clusters(suite)

    def along(change: Callable[[Array, TaskCurve], Array]) -> Measure:
        tasks = []
        for task in suite.tasks:
            if task.by_draw is None:
                tasks.append(replace(task, values=change(task.values, task)))
            else:
                each = np.stack([change(one, task) for one in task.by_draw])
                tasks.append(replace(task, values=each.mean(axis=0), by_draw=each))
        found = frame.measure(Suite(suite.name, tuple(tasks), suite.weights))
        found.scale[found.estimate == 0] *= crowd  # of none that changed, as if clusters did
        found.scale[row] = 0  # against itself nothing can change
        return found

    def lost(x: Array, _: TaskCurve) -> Array:
        return np.maximum(x[[row]] - x, 0)

    def won(x: Array, _: TaskCurve) -> Array:
        return np.maximum(x - x[[row]], 0)

    def corrected(plain: Callable[[Array, TaskCurve], Array]) -> Pointwise | None:
        if not all(_can_correct(task, guesses) for task in suite.tasks):
            return None

        def change(x: Array, task: TaskCurve) -> Array:
            g = np.asarray(guesses[task.name])
            neither = (1 - x[[row]]) * (1 - x)
            found: Array = (plain(x, task) - neither * g / (1 - g)) / (1 - g)
            found[row] = 0  # against itself nothing changes, whatever was guessed
            return found

        return _not_below_0(along(change), along(plain).scale, _most(suite, guesses))

    whole = all(task.values.min() >= 0 and task.values.max() <= 1 for task in suite.tasks)
    return Moves(
        values(along(lost), fraction=whole),
        values(along(won), fraction=whole),
        corrected(lost),
        corrected(won),
    )


def _most(suite: Suite, guesses: Mapping[str, Array | float]) -> float:
    """The most known documents that one which is seen to be lost stands for: 1/(1 − g)."""
    return max(float(np.max(1 / (1 - np.asarray(guesses[task.name])))) for task in suite.tasks)


def _not_below_0(found: Measure, scale: Array, most: float) -> Pointwise:
    """A share, of which less than none cannot be, with its interval.

    Args:
        found: the share before it is cut off.
        scale: of the plain share: variance that one document brings.
        most: what one document counts, at most.
    """
    estimate = np.maximum(found.estimate, 0)
    found = replace(found, estimate=estimate, scale=np.fmax(found.scale, most * scale), reach=most)
    found.scale[scale == 0] = 0
    low, high = difference_bounds(found, critical(found.degrees))
    return Pointwise(estimate, np.maximum(low, 0), high, np.sqrt(found.variance))


def _can_correct(task: TaskCurve, guesses: Mapping[str, Array | float]) -> bool:
    """Whether answers are right or wrong, and how often a guess is right is known."""
    known = np.asarray(guesses.get(task.name, np.nan))
    each = task.values if task.by_draw is None else task.by_draw
    return bool(((known >= 0) & (known < 1)).all() and np.isin(each, (0.0, 1.0)).all())


def moved_documents(trajectory: Trajectory) -> list[Moved]:
    """Every document that a ledger counts, by task, λ before, λ and number."""
    found = []
    for task in trajectory.tasks:
        for against in (1.0, 0.0):
            row = trajectory.at(against)
            if row is None or not task.averaged:
                continue
            for place, lam in enumerate(trajectory.lams):
                before, after = task.values[row], task.values[place]
                for column in np.flatnonzero(before != after).tolist():
                    change = "won" if after[column] > before[column] else "lost"
                    numbers = (float(before[column]), float(after[column]))
                    found.append(
                        Moved(
                            *(task.name, int(task.ids[column]), against, float(lam)),
                            *(change, *numbers),
                        )
                    )
    return found
