"""What a sweep shows, with its uncertainty: differences along λ, paired by document.

Two sources of chance are kept apart. Intervals and bands are over *documents* within the tasks of
the sweep; `over_tasks` is over *tasks*: what other tasks of the kind might have shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.calibration import expected_calibration_error
from pa_harness.resampling import Intervals, generator, intervals, replicate_means
from pa_harness.trajectory import even_suite

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pa_harness.trajectory import Suite, TaskCurve, Trajectory

    Array = NDArray[np.float64]

REPLICATES = 2000
_FEWEST = 3  # counted tasks from which an interval over tasks is given


@dataclass(frozen=True)
class Curve:
    """One task or average along λ; values in the metrics' own unit, `fractional` in percent.

    A difference is absent (None) where the sweep lacks its λ. `fractional` is
    100 (v(λ) − v(1)) / v(1), the measure of Figure 1 of İrsoy et al. 2025.
    """

    name: str
    kind: str  # suite; task (a counted one); or part, of a counted task that has several
    category: str
    documents: int
    counted: int  # counted tasks in it
    value: Intervals
    to_instruct: Intervals | None  # v(λ) − v(1)
    to_base: Intervals | None  # v(λ) − v(0)
    fractional: Intervals | None
    over_tasks: Intervals | None  # v(λ) − v(1) again, tasks resampled


@dataclass(frozen=True)
class Summary:
    """All curves of one sweep, and means of what is known beside the scores."""

    label: str
    lams: Array
    curves: tuple[Curve, ...]  # ICL, IF, categories; counted tasks; their parts
    aside: dict[str, Array]  # name -> shape (λ,): ece, brier, answer_length and others
    notes: tuple[str, ...]
    replicates: int
    instruction: str = ""  # what IF is the mean of

    def curve(self, name: str) -> Curve | None:
        """The curve of that name."""
        return next((curve for curve in self.curves if curve.name == name), None)


def summarise(trajectory: Trajectory, replicates: int = REPLICATES, seed: int = 0) -> Summary:
    """Every difference with its intervals.

    Args:
        trajectory: the sweep.
        replicates: bootstrap resamples.
        seed: same seed, same numbers.
    """
    resampled = {
        task.name: replicate_means(task.values, replicates, generator(seed, task.name))
        for task in trajectory.tasks
    }
    curves = []
    for suite in trajectory.suites():
        over = _over_tasks(trajectory, suite, replicates, generator(seed, suite.name))
        curves.append(_curve(trajectory, suite, "suite", resampled, over))
    parts = []
    for name in dict.fromkeys(task.counted for task in trajectory.tasks):
        members = [task for task in trajectory.tasks if task.counted == name]
        curves.append(_curve(trajectory, even_suite(name, members), "task", resampled))
        if len(members) > 1:
            parts += [even_suite(task.name, [task]) for task in members]
    curves += [_curve(trajectory, part, "part", resampled) for part in parts]
    return Summary(
        *(trajectory.label, trajectory.lams, tuple(curves), _aside(trajectory)),
        *(trajectory.notes, replicates, trajectory.instruction),
    )


def against_instruct(
    trajectory: Trajectory, suite: Suite, replicates: int = REPLICATES, seed: int = 0
) -> Intervals:
    """v(λ) − v(1) of any average; the sweep must have λ = 1."""
    one = int(np.searchsorted(trajectory.lams, 1.0))
    value = suite.mean()
    drawn = suite.combine(
        lambda task: replicate_means(task.values, replicates, generator(seed, task.name))
    )
    return intervals(value - value[one], drawn - drawn[:, [one]])


def _curve(
    trajectory: Trajectory,
    suite: Suite,
    kind: str,
    resampled: dict[str, Array],
    over: Intervals | None = None,
) -> Curve:
    value = suite.mean()
    drawn = suite.combine(lambda task: resampled[task.name])
    one, zero = trajectory.at(1.0), trajectory.at(0.0)

    def against(row: int | None) -> Intervals | None:
        if row is None:
            return None
        return intervals(value - value[row], drawn - drawn[:, [row]])

    fractional = None
    if one is not None and value[one] > 0 and (drawn[:, one] > 0).all():
        fractional = intervals(100 * (value / value[one] - 1), 100 * (drawn / drawn[:, [one]] - 1))
    return Curve(
        name=suite.name,
        kind=kind,
        category="" if kind == "suite" else suite.tasks[0].category,
        documents=sum(task.values.shape[1] for task in suite.tasks),
        counted=len(suite.counted),
        value=intervals(value, drawn),
        to_instruct=against(one),
        to_base=against(zero),
        fractional=fractional,
        over_tasks=over,
    )


def _over_tasks(
    trajectory: Trajectory, suite: Suite, replicates: int, random: np.random.Generator
) -> Intervals | None:
    """Counted tasks resampled, their documents left as they are."""
    one = trajectory.at(1.0)
    if one is None or len(suite.counted) < _FEWEST:
        return None
    rows = []
    for name in suite.counted:
        mean = even_suite(name, [task for task in suite.tasks if task.counted == name]).mean()
        rows.append(mean - mean[one])
    differences = np.array(rows).T
    drawn = replicate_means(differences, replicates, random)
    return intervals(differences.mean(axis=1), drawn)


def _aside(trajectory: Trajectory) -> dict[str, Array]:
    """Means over tasks of calibration, answer length (tokens), share of ended answers; rates."""

    def ece(task: TaskCurve) -> Array:
        pairs = zip(task.more["confidence,options"], task.more["hit,options"], strict=True)
        return np.array([expected_calibration_error(*pair) for pair in pairs])

    def mean_of(key: str) -> Callable[[TaskCurve], Array]:
        return lambda task: task.more[key].mean(axis=1)

    wanted: dict[str, tuple[str, Callable[[TaskCurve], Any]]] = {
        "ece": ("hit,options", ece),
        "brier": ("brier,options", mean_of("brier,options")),
        "answer_length": ("length,answer", mean_of("length,answer")),
        "answers_ended": ("ended,answer", mean_of("ended,answer")),
    }
    found = {}
    for name, (key, of_task) in wanted.items():
        tasks = [task for task in trajectory.tasks if key in task.more]
        if tasks:
            found[name] = even_suite(name, tasks).combine(of_task)
    for task in trajectory.tasks:
        if task.averaged:
            found |= task.rates
    return found
