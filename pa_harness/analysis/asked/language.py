"""The language of `choose`: names of what a sweep measured, and constraints on them.

    NAME         ICL, IF, mine, a category, a task, a judge; or a cost: answer_tokens,
                 answers_ended, brier (means over the tasks that have them)
    TASK:METRIC  another metric of a task (``arc_easy:acc_norm``), or a cost of one task
                 (``ifeval:answer_tokens``)

    NAME>=98%    at least 98% of what it is at λ = 1
    NAME<=120%@0 at most 120% of what it is at λ = 0
    NAME>=0.6    at least 0.6, in the metric's own unit

Case does not matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pa_harness.analysis.constraints import Constraint
from pa_harness.analysis.trajectory import Suite, even_suite, known_suites
from pa_harness.errors import RunError, did_you_mean, listed

if TYPE_CHECKING:
    from pa_harness.analysis.trajectory import TaskCurve, Trajectory

COSTS = {  # name, and the metric by document that it is the mean of
    "answer_tokens": "length,answer",
    "answers_ended": "ended,answer",
    "brier": "brier,options",
}
_KEEP = re.compile(
    r"(?P<name>.+?)\s*(?P<sign>>=|<=|≥|≤)\s*(?P<bound>-?\d+(?:\.\d+)?)\s*"
    r"(?P<unit>%?)\s*(?:@\s*(?P<of>\d+(?:\.\d+)?))?"
)


@dataclass(frozen=True)
class Asked:
    """What a choice is to make best, and what it must keep.

    Attributes:
        maximize: a name of the language; with a minus before it, less is better.
        keep: constraints, as they are typed.
    """

    maximize: str = "ICL"
    keep: tuple[str, ...] = ()


def objective(trajectory: Trajectory, asked: Asked) -> Suite:
    """What is to be as high as possible.

    Raises:
        RunError: the name is none of the language.
    """
    if not asked.maximize.startswith("-"):
        return named(trajectory, asked.maximize)
    found = named(trajectory, asked.maximize[1:])
    tasks = [replace(task, values=-task.values, by_draw=None) for task in found.tasks]
    return Suite(f"−{found.name}", tuple(tasks), found.weights)


def constraint(trajectory: Trajectory, text: str) -> tuple[Constraint, Suite]:
    """A constraint, and what it bounds.

    Raises:
        RunError: the text is none, names nothing, or a λ that the sweep has not.
    """
    found = _KEEP.fullmatch(text.strip())
    if found is None or (found["of"] and not found["unit"]):
        raise RunError(
            f"--keep {text!r}: expected NAME>=98% (of its value at λ = 1), NAME<=120%@0 (of that "
            "at λ = 0) or NAME>=0.6 (in its own unit)."
        )
    of = float(found["of"] or 1) if found["unit"] else None
    if of is not None and trajectory.at(of) is None:
        lams = ", ".join(f"{lam:g}" for lam in trajectory.lams)
        raise RunError(f"--keep {text!r}: the sweep has λ = {lams}, not {of:g}. Sweep it too.")
    suite = named(trajectory, found["name"])
    bound = float(found["bound"]) / (100 if found["unit"] else 1)
    means = suite.mean()
    most = 1 if found["sign"] in (">=", "≥") else 2  # of a Brier score
    if of is None and bound > most and means.min() >= 0 and means.max() <= 1:
        raise RunError(
            f"--keep {text!r}: {suite.name} is a share, here up to {means.max():.3g}. Did you mean "
            f"{found['name']}{found['sign']}{found['bound']}%?"
        )
    return Constraint(suite.name, bound, of, found["sign"] in (">=", "≥")), suite


def named(trajectory: Trajectory, name: str) -> Suite:
    """What a name means, as an average.

    Raises:
        RunError: it means nothing in this sweep.
    """
    tasks = {task.name.lower(): task for task in trajectory.tasks}
    known = known_suites(trajectory)
    suites = {key.lower(): known[key] for key in reversed(known)}  # of ICL and icl: the average
    wanted = name.strip().lower()
    costs = [(task, COSTS[wanted]) for task in trajectory.tasks if wanted in COSTS]
    having = [_of_metric(task, key) for task, key in costs if key in task.more]
    if wanted in suites:
        return known.get(name.strip(), suites[wanted])
    if having:
        return replace(even_suite(wanted, having))
    task, _, metric = wanted.partition(":")
    if metric and task in tasks:
        key = _key(tasks[task], metric)
        if key:
            return Suite(name.strip(), (_of_metric(tasks[task], key),), (1.0,))
    raise RunError(_unknown(trajectory, name, [each.lower() for each in known]))


def _of_metric(task: TaskCurve, key: str) -> TaskCurve:
    """The task with another metric in the place of its main one."""
    if key == task.metric:
        return task
    return replace(task, metric=key, values=task.more[key], by_draw=None)


def _key(task: TaskCurve, metric: str) -> str:
    """``metric,filter`` of what a user calls a metric of the task; empty where it has none such."""
    wanted = COSTS.get(metric, metric)
    keys = [task.metric, *task.more]
    same = [key for key in keys if key.lower() == wanted.lower()]
    same += [key for key in keys if key.partition(",")[0].lower() == wanted.lower()]
    return same[0] if same else ""


def _unknown(trajectory: Trajectory, name: str, suites: list[str]) -> str:
    task = name.strip().lower().partition(":")[0]
    metrics = [
        f"{each.name}:{key.partition(',')[0]}"
        for each in trajectory.tasks
        for key in (each.metric, *each.more)
        if each.name.lower() == task
    ]
    costs = [cost for cost, key in COSTS.items() if any(key in t.more for t in trajectory.tasks)]
    known = [*suites, *costs, *dict.fromkeys(metrics)]
    hint = did_you_mean(name, known)
    return (
        f"{name.strip()!r} is nothing that this sweep has measured. {hint}\nIt has:\n"
        f"{listed(known)}\nor TASK:METRIC."
    )
