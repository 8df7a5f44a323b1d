"""A finished sweep as arrays: every task along λ, paired by document, and its averages.

ICL is the unweighted mean over the counted tasks that are not of the category instruction, IF that
over those that are. A counted task is a task, or all tasks with the same `counts_as` (57 subjects
of MMLU are one), which count equally within it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.errors import RunError, listed
from pa_harness.folder import read_json
from pa_harness.scores import read_scores
from pa_harness.value_table import Documents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pa_harness.scores import Score

    Array = NDArray[np.float64]

ICL, IF = "ICL", "IF"
INSTRUCTION = "instruction"


@dataclass(frozen=True)
class TaskCurve:
    """The main metric of a task by λ and document, and what else is known by document."""

    name: str
    counted: str
    category: str
    metric: str  # metric,filter
    values: Array  # shape (λ, documents)
    ids: NDArray[np.int64]
    more: dict[str, Array] = field(default_factory=dict)  # other metrics, same shape
    averaged: bool = True  # whether it enters ICL or IF


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

    def at(self, lam: float) -> int | None:
        """The row of a λ; None where the sweep has it not."""
        (rows,) = np.nonzero(self.lams == lam)
        return int(rows[0]) if len(rows) else None

    def suites(self) -> list[Suite]:
        """ICL and IF, where they have tasks, then one per category."""
        counting = [task for task in self.tasks if task.averaged]
        icl = [task for task in counting if task.category != INSTRUCTION]
        followed = [task for task in counting if task.category == INSTRUCTION]
        found = [even_suite(name, part) for name, part in ((ICL, icl), (IF, followed)) if part]
        for category in dict.fromkeys(task.category for task in icl if task.category):
            part = [task for task in icl if task.category == category]
            found.append(even_suite(f"category {category}", part))
        return found

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


def weighted_suite(trajectory: Trajectory, weights: Mapping[str, float]) -> Suite:
    """The user's own average: weights of counted tasks, categories, ICL or IF, made to sum to 1.

    Raises:
        RunError: a name is none of these, or the weights do not have a positive sum.
    """
    known: dict[str, Suite] = {}
    for suite in trajectory.suites():
        known[suite.name.removeprefix("category ")] = suite
    known.setdefault(INSTRUCTION, known.get(IF, Suite(IF, (), ())))
    for counted in dict.fromkeys(task.counted for task in trajectory.tasks if task.averaged):
        part = [task for task in trajectory.tasks if task.counted == counted and task.averaged]
        known.setdefault(counted, even_suite(counted, part))
    unknown = [name for name in weights if name not in known or not known[name].tasks]
    if unknown or sum(weights.values()) <= 0 or min(weights.values()) < 0:
        raise RunError(
            f"Weights {', '.join(f'{n}={w:g}' for n, w in weights.items())}: expected numbers "
            "from 0, not all 0, for names out of:\n"
            f"{listed(sorted(name for name, suite in known.items() if suite.tasks))}"
        )
    total: dict[str, float] = {}
    for name, weight in weights.items():
        for task, share in zip(known[name].tasks, known[name].weights, strict=True):
            part_weight = weight * share / sum(weights.values())
            total[task.name] = total.get(task.name, 0.0) + part_weight
    chosen = [task for task in trajectory.tasks if task.name in total]
    return Suite("weighted", tuple(chosen), tuple(total[task.name] for task in chosen))


def read_trajectory(path: Path) -> Trajectory:
    """Read the folder of a finished sweep.

    Raises:
        RunError: it is not one, or no task can be paired by document.
    """
    scores = read_scores(path / "scores.parquet")
    documents = Documents(path / "documents.parquet")
    lams = np.unique([score.lam for score in scores])
    tasks: list[TaskCurve] = []
    notes = _knob_note(path)
    for name in documents.tasks:
        main = next((score for score in scores if score.task == name and score.main), None)
        found = documents.paired(name)
        if main is None or main.key not in found:
            key = main.key if main else "no metric"
            notes.append(f"{name} is left out: {key} has no number for every document and λ.")
            continue
        values = found[main.key].values
        if abs(values[-1].mean() - _last(scores, main)) > 1e-6:
            notes.append(f"{name} is left out: {main.key} is no mean over documents.")
            continue
        if not main.higher_is_better:
            notes.append(f"{name} is in no average: of {main.key}, less is better.")
        more = {key: each.values for key, each in found.items() if key != main.key}
        ids = found[main.key].ids
        tasks.append(
            TaskCurve(
                *(name, main.counts_as, main.category, main.key, values, ids, more),
                averaged=main.higher_is_better,
            )
        )
    if not tasks:
        raise RunError(f"{path}: no task can be compared document by document.\n{listed(notes)}")
    return Trajectory(_label(scores[0]), lams, tuple(tasks), tuple(scores), tuple(notes))


def _knob_note(path: Path) -> list[str]:
    """What must be said of a sweep whose λ is a knob of a schedule."""
    file = path / "provenance.json"
    settings = read_json(file).get("settings", {}) if file.exists() else {}
    if not settings.get("knob"):
        return []
    return [
        f"λ is here the knob {settings['knob']} of the schedule "
        f"{json.dumps(settings['model_args']['lam'])}: its 0 and 1 are not base and instruct."
    ]


def _last(scores: Sequence[Score], main: Score) -> float:
    """The reported value at the largest λ of the same task and metric."""
    same = [score for score in scores if (score.task, score.key) == (main.task, main.key)]
    return max(same, key=lambda score: score.lam).value


def _label(score: Score) -> str:
    """The pair by the last part of its names."""
    base, instruct = (name.rstrip("/").split("/")[-1] for name in (score.base, score.instruct))
    return f"{base} → {instruct}"
