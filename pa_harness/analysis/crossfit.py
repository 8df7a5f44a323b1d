"""What choosing λ gains, measured on documents that had no say in the choice.

The best of several noisy points flatters itself. Cross-fitting: clusters of documents are dealt at
random into five folds; λ* is chosen without a fold and looked at on that fold, for all folds, over
many deals. Where there are several draws of the demonstrations, λ* is also chosen without the draw
that it is looked at with. With d_i the difference of document i at the λ chosen without it,

    gain = mean over deals of the mean of the d_i,
    se²  = the larger of the variance of that mean with the λ* taken as given (over clusters and
           draws, as in `analysis.frame`) and of the variance between folds, over the folds,

and the interval is wider where few documents changed (`analysis.intervals`).
Simulations with known truth (benchmarks/coverage.py) show that the interval holds or is somewhat
too wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.intervals import critical
from pa_harness.analysis.measure import Measure, difference_bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pa_harness.analysis.frame import Frame
    from pa_harness.analysis.intervals import Array
    from pa_harness.analysis.trajectory import Suite, TaskCurve

DEALS, FOLDS = 40, 5
_FOLDED = ("documents", "in folds")  # the one source of a gain's variance


@dataclass(frozen=True)
class Gain:
    """A number at the chosen λ minus that at λ = 1, cross-fitted, with its 95% interval."""

    estimate: float
    low: float
    high: float


class CrossFit:
    """The deals of one sweep, the same for everything that is measured on them."""

    def __init__(self, frame: Frame, tasks: Sequence[TaskCurve], seed: int) -> None:
        self._frame = frame
        random = np.random.default_rng(seed)
        self._folds = {
            name: np.array([random.permutation(size) % FOLDS for _ in range(DEALS)])
            for name, size in frame.sizes.items()
        }
        self._draws = {
            task.name: np.array(
                [np.resize(random.permutation(len(task.by_draw)), FOLDS) for _ in range(DEALS)]
            )
            for task in tasks
            if task.by_draw is not None
        }

    def without(self, suite: Suite, key: str = "") -> Array:
        """The average at each λ without a fold, shape (DEALS · FOLDS, λ).

        Args:
            suite: the average.
            key: another metric of its tasks than the main one.
        """
        total = 0.0
        for task, weight in zip(suite.tasks, suite.weights, strict=True):
            inside, counts = self._sums(task, key, held=False)
            whole = inside.sum(axis=1, keepdims=True)
            every = counts.sum(axis=1, keepdims=True)
            with np.errstate(divide="ignore", invalid="ignore"):
                total = total + weight * (whole - inside) / (every - counts)[..., None]
        return np.asarray(total).reshape(DEALS * FOLDS, -1)

    def gain(self, suite: Suite, row: int, chosen: NDArray[np.int64]) -> Gain:
        """What the λ chosen without a fold have more than one row, looked at on the fold.

        Args:
            suite: the average that is looked at.
            row: of λ = 1.
            chosen: rows of λ, of the folds of `without`, shape (DEALS · FOLDS,).
        """
        picked = chosen.reshape(DEALS, FOLDS, 1)

        def at(found: Array) -> Array:
            taken = np.take_along_axis(found, picked, axis=2)[..., 0]
            return np.asarray(taken - found[..., row])

        parts: Array = np.zeros((DEALS, FOLDS))
        for task, weight in zip(suite.tasks, suite.weights, strict=True):
            sums, _ = self._sums(task, "", held=True)
            parts = parts + weight / task.values.shape[1] * at(sums)
        apart = self._frame.against(suite, row)
        given = np.zeros((DEALS, FOLDS))
        for (kind, name), change in apart.influence.items():
            if kind == "documents":
                given += at(_by_fold(self._folds[name], change**2))
            else:
                given += (change**2).sum(axis=1)[picked[..., 0]] / FOLDS
        between = FOLDS * parts.var(axis=1, ddof=1)
        error = np.sqrt(max(given.sum(axis=1).mean(), between.mean()))
        gain = Measure(
            parts.sum(axis=1).mean(keepdims=True),
            {_FOLDED: np.array([[error]])},
            apart.freedom,
            apart.scale[chosen].mean(keepdims=True),
            apart.reach,
        )
        low, high = difference_bounds(gain, critical(float(np.min(apart.degrees))))
        return Gain(float(gain.estimate[0]), float(low[0]), float(high[0]))

    def _sums(self, task: TaskCurve, key: str, *, held: bool) -> tuple[Array, Array]:
        """Sums over the documents of each fold, and how many they are.

        Args:
            task: whose documents.
            key: another metric than the main one.
            held: whether with the draw of the demonstrations that is looked at; else without it.

        Returns:
            Shapes (DEALS, FOLDS, λ) and (DEALS, FOLDS).
        """
        name, groups = self._frame.groups(task)
        folds = self._folds[name][:, groups.present]
        counts = _by_fold(folds, groups.documents[None].astype(np.float64))[..., 0]
        values = task.more[key] if key else task.values
        whole = _by_fold(folds, groups.sums(values))
        if task.by_draw is None or key:
            return whole, counts
        draws = len(task.by_draw)
        each = np.array([_by_fold(folds, groups.sums(one)) for one in task.by_draw])
        one = np.take_along_axis(each, self._draws[task.name][None, ..., None], axis=0)[0]
        return (one, counts) if held else ((draws * whole - one) / (draws - 1), counts)


def _by_fold(folds: NDArray[np.int64], sums: Array) -> Array:
    """Sums over the units of each fold.

    Args:
        folds: of each unit, shape (DEALS, units).
        sums: of each unit, shape (λ, units).

    Returns:
        Shape (DEALS, FOLDS, λ).
    """
    inside = [(folds == fold).astype(np.float64) @ sums.T for fold in range(FOLDS)]
    return np.stack(inside, axis=1)
