"""What is sampled: clusters of documents, draws of demonstrations; and averages as made of them.

Questions on one passage, copies of a document, two measurements of the same documents stand or
fall together: they are one *cluster*, and clusters are taken as drawn independently, documents
within them not. With several draws of the demonstrations those are drawn, too. Leaving unit u out
of the G that a task has changes its mean by

    mean − mean without u = (sum_u − mean · n_u) / (n − n_u),

and the jackknife's variance of the mean is (G − 1)/G times the sum of its squares; of several rows
(λ, averages) their covariance likewise. An average of tasks is changed by the weighted sum of what
its tasks are. Of documents that are alone this is the sample variance over n. (Delete-a-group
jackknife: Efron and Stein 1981; Bell and McCaffrey 2002 for regression. Documents and draws of
demonstrations add up as in Cameron, Gelbach and Miller 2011, without the small term of both.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.measure import Measure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pa_harness.analysis.intervals import Array
    from pa_harness.analysis.measure import Source
    from pa_harness.analysis.trajectory import Suite, TaskCurve


class Frame:
    """The units of a trajectory's tasks. Tasks that share a cluster share their set of units."""

    def __init__(self, tasks: Sequence[TaskCurve]) -> None:
        self.sizes: dict[str, int] = {}  # units of each set
        self._groups: dict[str, tuple[str, Groups]] = {}
        for members in _connected(tasks):
            name, every = members[0].name, np.unique(np.concatenate([*map(_ids, members)]))
            self.sizes[name] = len(every)
            for task in members:
                groups = Groups(np.searchsorted(every, _ids(task)))
                self._groups[task.name] = name, groups

    def groups(self, task: TaskCurve) -> tuple[str, Groups]:
        """The name of the task's set of units, and which documents each of them has."""
        return self._groups[task.name]

    def clusters(self, suite: Suite) -> int:
        """How many clusters the documents of an average are of."""
        found: dict[str, list[NDArray[np.int64]]] = {}
        for name, groups in (self._groups[task.name] for task in suite.tasks):
            found.setdefault(name, []).append(groups.present)
        whole = [p[0] if len(p) == 1 else np.unique(np.concatenate(p)) for p in found.values()]
        return sum(map(len, whole))

    def measure(self, suite: Suite, key: str = "") -> Measure:
        """The average at each λ.

        Args:
            suite: the average.
            key: another metric of its tasks than the main one.
        """

        def of_task(task: TaskCurve, groups: Groups) -> tuple[Array, Array]:
            values = _values(task, key)
            return values.mean(axis=1), jackknife(groups.sums(values), groups.documents)

        found = self.combine(suite, of_task)
        influence, freedom = dict(found.influence), dict(found.freedom)
        for task, weight in zip(suite.tasks, suite.weights, strict=True):
            if task.by_draw is not None and not key:
                place: Source = ("demonstrations", task.name)
                influence[place] = weight * jackknife(task.by_draw.mean(axis=2).T)
                freedom[place] = len(task.by_draw) - 1
        found = replace(found, influence=influence, freedom=freedom)
        rows = [_values(task, key) for task in suite.tasks]
        return _with_scale(found, suite.weights, rows, rows)

    def against(self, suite: Suite, row: int, key: str = "") -> Measure:
        """What the average has more at each λ than in one row; `key` as in `measure`."""
        found = self.measure(suite, key)
        influence = {name: part - part[[row]] for name, part in found.influence.items()}
        estimate = found.estimate - found.estimate[row]
        raw = [_values(task, key) for task in suite.tasks]
        changes = [each - each[row] for each in raw]
        apart = replace(found, estimate=estimate, influence=influence)
        apart = _with_scale(apart, suite.weights, raw, changes)
        apart.scale[row] = 0  # against itself nothing can change
        return apart

    def combine(
        self, suite: Suite, of_task: Callable[[TaskCurve, Groups], tuple[Array, Array]]
    ) -> Measure:
        """The weighted sum of numbers of its tasks.

        Args:
            suite: the average.
            of_task: the numbers of a task, shape (rows,), and what leaving each of its units out
                changes, shape (rows, units present).
        """
        influence: dict[Source, Array] = {}
        seen: dict[Source, NDArray[np.bool_]] = {}
        total: Array = np.zeros(0)
        for task, weight in zip(suite.tasks, suite.weights, strict=True):
            name, groups = self._groups[task.name]
            place: Source = ("documents", name)
            estimate, change = of_task(task, groups)
            total = weight * estimate + (total if len(total) else 0)
            whole = influence.setdefault(place, np.zeros((len(estimate), self.sizes[name])))
            whole[:, groups.present] += weight * change
            seen.setdefault(place, np.zeros(self.sizes[name], dtype=bool))[groups.present] = True
        freedom = {name: max(int(units.sum()) - 1, 0) for name, units in seen.items()}
        return Measure(total, influence, freedom, np.zeros(len(total)), 1.0)


class Groups:
    """The documents of one task by unit.

    Attributes:
        present: the units that it has, ascending.
        documents: how many each of them has, same shape.
    """

    def __init__(self, units: NDArray[np.int64]) -> None:
        self.units = units  # of each document
        self.present, self._starts, self.documents = np.unique(
            np.sort(units), return_index=True, return_counts=True
        )
        self._order = None if (np.diff(units) >= 0).all() else np.argsort(units, kind="stable")

    def sums(self, values: Array) -> Array:
        """Over the documents of each unit: shape (…, documents) becomes (…, units present)."""
        ordered = values if self._order is None else values[..., self._order]
        if len(self.present) == len(self.units):
            return ordered
        whole: Array = np.add.reduceat(ordered, self._starts, axis=-1)
        return whole


def jackknife(sums: Array, sizes: NDArray[np.int64] | None = None) -> Array:
    """What leaving each unit out changes, scaled so that the sum of squares is the variance.

    Args:
        sums: of each unit's documents, shape (rows, units).
        sizes: numbers of documents; None: one each.

    Returns:
        Shape (rows, units); NaN for a single unit, from which nothing can be learnt of others.
    """
    count = sums.shape[1]
    if count < 2:
        return np.full(sums.shape, np.nan)
    sizes = np.ones(count, dtype=np.int64) if sizes is None else sizes
    mean = sums.sum(axis=1, keepdims=True) / sizes.sum()
    change: Array = (sums - mean * sizes) / (sizes.sum() - sizes) * np.sqrt((count - 1) / count)
    return change


def _with_scale(
    measure: Measure, weights: Sequence[float], raw: Sequence[Array], changes: Sequence[Array]
) -> Measure:
    """The measure with `scale` and `reach`, from the documents' own numbers.

    Args:
        measure: without them.
        weights: of the tasks.
        raw: numbers of each task, shape (λ, documents).
        changes: what `measure` is the mean of: the same, or their differences to one λ.
    """
    reaches = [reach_of(each) for each in raw]
    tasks = list(zip(weights, changes, reaches, strict=True))
    alone = sum(w**2 * (x**2).mean(axis=1) / x.shape[1] for w, x, _ in tasks)
    change = np.sum([w * np.abs(x).mean(axis=1) for w, x, _ in tasks], axis=0)
    none = sum(w**2 * r / x.shape[1] for w, x, r in tasks)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(change > 0, np.fmax(measure.variance, alone) / change, none)
    return replace(measure, scale=scale, reach=sum(w * r for w, _, r in tasks))


def _values(task: TaskCurve, key: str) -> Array:
    return task.more[key] if key else task.values


def reach_of(values: Array) -> float:
    """The largest change of a document there can be, as far as is known: 1 for fractions."""
    low, high = float(values.min()), float(values.max())
    most = max(abs(low), abs(high), 1.0)
    return 1.0 if 0 <= low <= high <= 1 or high - low <= 1e-9 * most else high - low


def _ids(task: TaskCurve) -> NDArray[np.int64]:
    return np.arange(task.values.shape[1]) if task.clusters is None else task.clusters


def _connected(tasks: Sequence[TaskCurve]) -> list[list[TaskCurve]]:
    """The tasks in groups that share no cluster with each other, in their order."""
    group = list(range(len(tasks)))  # by the first task of each
    known = [n for n, task in enumerate(tasks) if task.clusters is not None]
    if known:
        ids = [np.unique(_ids(tasks[n])) for n in known]
        owners = np.repeat(known, [len(each) for each in ids])
        every = np.concatenate(ids)
        order = np.argsort(every, kind="stable")
        same = every[order][1:] == every[order][:-1]
        pairs = np.stack([owners[order][:-1][same], owners[order][1:][same]], axis=1)
        for one, other in np.unique(pairs, axis=0):
            first, last = sorted((group[one], group[other]))
            group = [first if each == last else each for each in group]
    return [
        [tasks[n] for n, of in enumerate(group) if of == first] for first in dict.fromkeys(group)
    ]
