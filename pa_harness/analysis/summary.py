"""What a sweep shows, with its uncertainty: differences along λ, paired by document.

Two sources of chance are kept apart. Intervals and bands are over *documents* within the tasks of
the sweep; `over_tasks` is over *tasks*: what other tasks of the kind might have shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.calibration import calibration_error
from pa_harness.analysis.resampling import (
    Aside,
    Intervals,
    differences,
    generator,
    intervals,
    replicate_means,
)
from pa_harness.analysis.trajectory import ICL, even_suite
from pa_harness.tasks.shipped import INSTRUCTION

if TYPE_CHECKING:
    from pa_harness.analysis.resampling import Array
    from pa_harness.analysis.trajectory import Suite, TaskCurve, Trajectory


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

    @property
    def few_shot(self) -> bool:
        """Whether it measures something else than instruction following."""
        return self.category != INSTRUCTION


@dataclass(frozen=True)
class Summary:
    """All curves of one sweep, and means of what is known beside the scores."""

    label: str
    lams: Array
    curves: tuple[Curve, ...]  # ICL, IF, categories, ICL normalised; counted tasks; their parts
    aside: dict[str, Aside]  # ece, brier, answer_length, answers_ended
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
    normalised = trajectory.normalised()
    if normalised is not None:
        over = _over_tasks(trajectory, normalised, replicates, generator(seed, normalised.name))
        scaled = {task.name: task.normalised(resampled[task.name]) for task in normalised.tasks}
        curves.append(_curve(trajectory, normalised, "suite", scaled, over))
    parts = []
    for name in dict.fromkeys(task.counted for task in trajectory.tasks):
        members = [task for task in trajectory.tasks if task.counted == name]
        curves.append(_curve(trajectory, even_suite(name, members), "task", resampled))
        if len(members) > 1:
            parts += [even_suite(task.name, [task]) for task in members]
    curves += [_curve(trajectory, part, "part", resampled) for part in parts]
    return Summary(
        *(trajectory.label, trajectory.lams, tuple(curves), _aside(trajectory, replicates, seed)),
        *((*trajectory.notes, *_unscaled(trajectory)), replicates, trajectory.instruction),
    )


def _unscaled(trajectory: Trajectory) -> tuple[str, ...]:
    """Why there is no normalised average, where some of its tasks could be scaled."""
    icl = trajectory.suite(ICL)
    names = [task.name for task in icl.tasks if math.isnan(task.baseline)] if icl else []
    if icl is None or not 0 < len(names) < len(icl.tasks):
        return ()
    return (f"No normalised average: {', '.join(names)} have no random_baseline.",)


def against_instruct(
    trajectory: Trajectory, suite: Suite, replicates: int = REPLICATES, seed: int = 0
) -> Intervals:
    """v(λ) − v(1) of any average; the sweep must have λ = 1."""
    one = int(np.searchsorted(trajectory.lams, 1.0))
    drawn = suite.combine(
        lambda task: replicate_means(task.values, replicates, generator(seed, task.name))
    )
    return differences(suite.mean(), drawn, one)


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
        to_instruct=None if one is None else differences(value, drawn, one),
        to_base=None if zero is None else differences(value, drawn, zero),
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
    values = np.array(rows).T
    return intervals(values.mean(axis=1), replicate_means(values, replicates, random))


def _aside(trajectory: Trajectory, replicates: int, seed: int) -> dict[str, Aside]:
    """Calibration, answer length (tokens), share of ended answers; rates, without intervals."""
    wanted = {
        "ece": "hit,options",
        "brier": "brier,options",
        "answer_length": "length,answer",
        "answers_ended": "ended,answer",
    }
    found = {}
    for name, key in wanted.items():
        tasks = [task for task in trajectory.tasks if key in task.more]
        if tasks:
            suite = even_suite(name, tasks)
            make = calibration_error if name == "ece" else partial(_mean_aside, key)
            found[name] = make(suite, replicates, seed)
    unknown = np.full(len(trajectory.lams), math.nan)
    for task in trajectory.tasks:
        if task.averaged:
            found |= {name: Aside(rate, unknown, unknown) for name, rate in task.rates.items()}
    return found


def _mean_aside(key: str, suite: Suite, replicates: int, seed: int) -> Aside:
    """The mean of a number by document."""

    def drawn(task: TaskCurve) -> Array:
        return replicate_means(task.more[key], replicates, generator(seed, task.name))

    estimate = suite.combine(lambda task: task.more[key].mean(axis=1))
    each = intervals(estimate, suite.combine(drawn))
    return Aside(estimate, each.low, each.high)
