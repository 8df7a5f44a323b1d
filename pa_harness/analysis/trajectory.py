"""A finished sweep as arrays: every task along λ, paired by document, and its averages.

ICL is the unweighted mean over the counted tasks that are not of the category instruction, IF that
over those that are, mine that over the tasks which a fine-tune was made for (in neither of them). A
counted task is a task, or all tasks with the same `counts_as` (57 subjects of MMLU are one), which
count equally within it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.errors import RunError, listed
from pa_harness.tasks.shipped import INSTRUCTION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from pa_harness.analysis.intervals import Array
    from pa_harness.runs.scores import Score


ICL, IF, MINE = "ICL", "IF", "mine"


@dataclass(frozen=True)
class TaskCurve:
    """The main metric of a task by λ and document, and what else is known by document."""

    name: str
    counted: str
    category: str
    metric: str  # metric,filter
    values: Array  # shape (λ, documents); means over the draws
    ids: NDArray[np.int64]
    more: dict[str, Array] = field(default_factory=dict)  # other metrics, same shape
    averaged: bool = True  # whether it enters ICL or IF
    baseline: float = math.nan  # what guessing scores, below 1; NaN where it is not known
    answers: str = ""  # the task whose answers were judged, if a judge gave the values
    clusters: NDArray[np.int64] | None = None  # of each document; None: it is alone
    by_draw: Array | None = None  # shape (draws, λ, documents); None: one draw of the shots

    def normalised(self, values: Array) -> Array:
        """Means of the main metric between guessing (0) and perfect (1): (x − b) / (1 − b)."""
        return (values - self.baseline) / (1 - self.baseline)


@dataclass(frozen=True)
class Suite:
    """A weighted mean of tasks; the weights' sum is 1."""

    name: str
    tasks: tuple[TaskCurve, ...]
    weights: tuple[float, ...]

    @property
    def counted(self) -> tuple[str, ...]:
        """The counted tasks, each once."""
        return tuple(dict.fromkeys(task.counted for task in self.tasks))

    def mean(self) -> Array:
        """The mean at each λ, shape (λ,)."""
        return self.combine(lambda task: task.values.mean(axis=1))

    def combine(self, of_task: Callable[[TaskCurve], Array]) -> Array:
        """The weighted sum of an array per task."""
        pairs = zip(self.tasks, self.weights, strict=True)
        parts = [weight * of_task(task) for task, weight in pairs]
        total: Array = np.sum(parts, axis=0)
        return total


@dataclass(frozen=True)
class Trajectory:
    """One sweep."""

    label: str
    lams: Array  # ascending
    tasks: tuple[TaskCurve, ...]
    scores: tuple[Score, ...]
    notes: tuple[str, ...] = ()  # what was left out, and why
    knots: tuple[str, ...] = ()  # names of the checkpoints at λ = 0, 1, …
    mine: tuple[str, ...] = ()  # tasks that the fine-tune was made for; in no other average

    def at(self, lam: float) -> int | None:
        """The row of a λ; None where the sweep has it not."""
        (rows,) = np.nonzero(self.lams == lam)
        return int(rows[0]) if len(rows) else None

    @property
    def is_fine_tune(self) -> bool:
        """Whether λ = 1 is the user's fine-tune and λ = 0 its parent."""
        return bool(self.mine) and len(self.knots) <= 2

    @property
    def instruction(self) -> str:
        """What IF is the mean of: measurements with their metrics."""
        found = [t for t in self.tasks if t.averaged and t.category == INSTRUCTION]
        found = [task for task in found if not self.is_mine(task)]
        return ", ".join(dict.fromkeys(f"{t.counted} ({t.metric.split(',')[0]})" for t in found))

    def suites(self) -> list[Suite]:
        """ICL, IF and the tasks that are mine, where there are such, then one per category."""
        own = [task for task in self.tasks if self.is_mine(task) and task.averaged]
        counting = [task for task in self.tasks if task.averaged and not self.is_mine(task)]
        icl = [task for task in counting if task.category != INSTRUCTION]
        followed = [task for task in counting if task.category == INSTRUCTION]
        found = [
            even_suite(name, part)
            for name, part in ((ICL, icl), (IF, followed), (MINE, own))
            if part
        ]
        for category in dict.fromkeys(task.category for task in icl if task.category):
            part = [task for task in icl if task.category == category]
            found.append(even_suite(f"category {category}", part))
        return found

    def is_mine(self, task: TaskCurve) -> bool:
        """Whether the fine-tune was made for it."""
        return bool({task.name, task.counted, task.answers} & {*self.mine})

    def normalised(self) -> Suite | None:
        """ICL between guessing (0) and perfect (1); None where a task's random baseline is unknown.

        The values of its tasks are normalised ones.
        """
        icl = self.suite(ICL)
        if icl is None or any(math.isnan(task.baseline) for task in icl.tasks):
            return None
        scaled = [replace(task, values=task.normalised(task.values)) for task in icl.tasks]
        return even_suite(f"{ICL}, normalised", scaled)

    def suite(self, name: str) -> Suite | None:
        """The suite of that name."""
        return next((suite for suite in self.suites() if suite.name == name), None)


def even_suite(name: str, tasks: Sequence[TaskCurve]) -> Suite:
    """The unweighted mean over counted tasks."""
    sizes: dict[str, int] = {}
    for task in tasks:
        sizes[task.counted] = sizes.get(task.counted, 0) + 1
    weights = tuple(1 / len(sizes) / sizes[task.counted] for task in tasks)
    return Suite(name, tuple(tasks), weights)


def known_suites(trajectory: Trajectory) -> dict[str, Suite]:
    """ICL, IF, categories, counted tasks and their parts, by name."""
    known: dict[str, Suite] = {}
    for suite in trajectory.suites():
        known[suite.name.removeprefix("category ")] = suite
    if IF in known:
        known.setdefault(INSTRUCTION, known[IF])
    for counted in dict.fromkeys(task.counted for task in trajectory.tasks):
        part = [task for task in trajectory.tasks if task.counted == counted]
        known.setdefault(counted, even_suite(counted, part))
    for task in trajectory.tasks:
        known.setdefault(task.name, even_suite(task.name, [task]))
    return known


def weighted_suite(trajectory: Trajectory, weights: Mapping[str, float]) -> Suite:
    """The user's own average: weights of counted tasks, categories, ICL or IF, made to sum to 1.

    Raises:
        RunError: a name is none of these, or the weights do not have a positive sum.
    """
    known = known_suites(trajectory)
    unknown = [name for name in weights if name not in known]
    if unknown or sum(weights.values()) <= 0 or min(weights.values()) < 0:
        raise RunError(
            f"Weights {', '.join(f'{n}={w:g}' for n, w in weights.items())}: expected numbers "
            "from 0, not all 0, for names out of:\n"
            f"{listed(sorted(known))}"
        )
    total: dict[str, float] = {}
    for name, weight in weights.items():
        for task, share in zip(known[name].tasks, known[name].weights, strict=True):
            part_weight = weight * share / sum(weights.values())
            total[task.name] = total.get(task.name, 0.0) + part_weight
    chosen = [task for task in trajectory.tasks if task.name in total]
    return Suite("weighted", tuple(chosen), tuple(total[task.name] for task in chosen))
