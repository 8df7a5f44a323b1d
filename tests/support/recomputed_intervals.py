"""The intervals of averages once more: every cluster left out, every hypothesis tried.

It imports nothing of pa_harness. Where that solves equations, this looks at a fine grid of true
values and keeps those that the documents do not contradict. Not calculated again: bands, and
differences in percent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

GRID = 40_001  # true values that are tried; the page shows four decimals
Ends = tuple[float, float]


class Sample:
    """The tasks of an average with the clusters of their documents.

    Args:
        values: of each task, shape (λ, documents).
        clusters: of each task, the name of each document's cluster.
        weights: of the tasks.
    """

    def __init__(self, values: list[Any], clusters: list[list[str]], weights: list[float]) -> None:
        self._values, self._weights = values, weights
        self._clusters = [np.array(each) for each in clusters]

    def level(self, row: int) -> Ends:
        """Of the mean at one λ."""
        rows = [each[row] for each in self._values]
        x, variance, t = self._moments(rows)
        whole = np.concatenate([each.ravel() for each in self._values])
        if whole.min() < 0 or whole.max() > 1:
            return x - t * variance**0.5, x + t * variance**0.5
        each = variance / (x * (1 - x)) if variance > 0 and 0 < x < 1 else self._unit(rows, rows)
        h = np.linspace(0, 1, GRID)
        return _ends(h, (x - h) ** 2 <= t**2 * each * h * (1 - h) + 1e-15)

    def difference(self, row: int, to: int) -> Ends:
        """Of what one λ has more than another."""
        rows = [each[row] - each[to] for each in self._values]
        x, variance, t = self._moments(rows)
        reach = sum(w * _reach(v) for w, v in zip(self._weights, self._values, strict=True))
        if row == to:
            return 0.0, 0.0
        h = reach * np.linspace(-1, 1, 2 * GRID - 1)
        share = np.abs(h) / reach
        sparse = self._unit(rows, self._values) * reach * share * (1 - share)
        wald = np.abs(x - h) <= t * variance**0.5
        return _ends(h, wald | ((x - h) ** 2 <= t**2 * sparse + 1e-15))

    def _moments(self, rows: list[Any]) -> tuple[float, float, float]:
        """The mean, its variance, and Student's t for it."""
        mean, change = 0.0, dict[str, float]()
        for values, clusters, weight in zip(rows, self._clusters, self._weights, strict=True):
            names = sorted(set(clusters))
            mean += weight * values.mean()
            for name in names:
                apart = values.mean() - values[clusters != name].mean()
                part = weight * apart * ((len(names) - 1) / len(names)) ** 0.5
                change[name] = change.get(name, 0.0) + part
        groups = self._connected()
        parts = [sum(change[name] ** 2 for name in group) for group in groups]
        freedom = [len(group) - 1 for group in groups]
        whole = sum(parts)
        degrees: float = sum(freedom)
        if whole > 0:
            degrees = whole**2 / sum(p**2 / f for p, f in zip(parts, freedom, strict=True))
        return mean, whole, float(stats.t.ppf(0.975, degrees))

    def _connected(self) -> list[set[str]]:
        """Clusters of tasks that share one with each other."""
        groups: list[set[str]] = []
        for clusters in self._clusters:
            mine = set(clusters)
            for group in [group for group in groups if group & mine]:
                groups.remove(group)
                mine |= group
            groups.append(mine)
        return groups

    def _unit(self, rows: list[Any], raw: list[Any]) -> float:
        """The variance that one unit of change brings."""
        tasks = list(zip(self._weights, rows, raw, strict=True))
        change = sum(w * np.abs(x).mean() for w, x, _ in tasks)
        if change == 0:
            return float(sum(w**2 * _reach(v) / len(x) for w, x, v in tasks))
        alone = sum(w**2 * (x**2).mean() / len(x) for w, x, _ in tasks)
        return float(max(self._moments(rows)[1], alone) / change)


def over_tasks(apart: Any) -> tuple[Any, Any]:
    """Of differences, shape (λ, counted tasks), taken as drawn."""
    count = apart.shape[1]
    half = stats.t.ppf(0.975, count - 1) * apart.std(axis=1, ddof=1) / count**0.5
    return apart.mean(axis=1) - half, apart.mean(axis=1) + half


def _reach(values: Any) -> float:
    low, high = float(values.min()), float(values.max())
    return 1.0 if 0 <= low <= high <= 1 or high == low else high - low


def _ends(h: Any, kept: Any) -> Ends:
    return float(h[kept].min()), float(h[kept].max())
