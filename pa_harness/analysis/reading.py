"""A finished run's folder, with what judges said of its answers, as a trajectory."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.draws import joined
from pa_harness.analysis.trajectory import TaskCurve, Trajectory
from pa_harness.errors import RunError, listed
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.judgements import WIN
from pa_harness.tasks.shipped import INSTRUCTION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pa_harness.analysis.intervals import Array
    from pa_harness.runs.documents import Documents, Paired
    from pa_harness.runs.judgements import JudgeFolder
    from pa_harness.runs.scores import Score

_ROUNDING = 1e-6  # of a reported mean


def read_trajectory(path: Path, instruction: Sequence[str] = ()) -> Trajectory:
    """Read the folder of a finished sweep, with what judges said of its answers.

    Args:
        path: the folder.
        instruction: the measurements of instruction following that IF is the mean of: counted
            tasks of that category, judges. A name's beginning is enough. None: all such tasks, or
            the only judge.

    Raises:
        RunError: it is not one, no task can be paired by document, or what IF is cannot be told.
    """
    run = RunFolder(path)
    scores, unchecked = run.scores(), run.check_own()
    documents = run.documents()
    lams, clusters = np.unique([score.lam for score in scores]), _Clusters(documents)
    tasks: list[TaskCurve] = []
    notes, waiting = [*_path_note(scores[0]), *_knob_note(run)], []
    for name in sorted({score.task for score in scores} - {*documents.tasks}):
        notes.append(f"{name} is left out: it has no numbers by document.")
    for name in documents.tasks:
        of_task = [score for score in scores if score.task == name]
        main = next((score for score in of_task if score.main), None)
        if main is None and of_task:
            waiting.append(name)
            continue
        paired = documents.paired(name)
        found = _curve(paired, name, main, [score.value for score in _same(of_task, main)])
        if isinstance(found, str):
            notes.append(f"{name} is left out: {found}.")
            continue
        lost = paired[found.metric].lost
        if lost:
            notes.append(
                f"{name} is without {lost} document{'s' * (lost > 1)} that had no number at some λ."
            )
        if not found.averaged:
            notes.append(f"{name} is in no average: of {found.metric}, less is better.")
        tasks.append(found)
    for judge in run.judgements():
        judged = judge.judged_others(run.answers(judge.task)) or _judged(judge, clusters, lams)
        if isinstance(judged, str):
            notes.append(f"The judge {judge.path.name} is left out: {judged}.")
        else:
            tasks.append(judged)
    seen = {task.answers for task in tasks}
    notes += [
        f"{name} has no score of its own: its answers wait for `pa-harness judge {path}`."
        for name in waiting
        if name not in seen
    ]
    notes += unchecked
    if not tasks:
        raise RunError(f"{path}: no task can be compared document by document.\n{listed(notes)}")
    chosen = _chosen(joined(tasks), instruction, path)
    known = [replace(t, clusters=clusters.of(t.answers or t.name, t.ids)) for t in chosen]
    mine = _mine(run, known, notes)  # it may add a note
    parts = lams, tuple(known), tuple(scores), tuple(notes), _knots(scores[0])
    return Trajectory(_label(scores[0], mine=bool(mine)), *parts, mine)


class _Clusters:
    """The clusters of a run's documents as numbers: one of a name is one in every task."""

    def __init__(self, documents: Documents) -> None:
        self._documents, self._numbers = documents, dict[str, int]()

    def ids(self, task: str) -> NDArray[np.int64]:
        """All documents of a task, in their order."""
        return np.fromiter(self._documents.clusters(task), dtype=np.int64)

    def of(self, task: str, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of these documents of a task."""
        names = self._documents.clusters(task)
        known = [names[document] for document in ids.tolist()]
        numbers = [self._numbers.setdefault(name, len(self._numbers)) for name in known]
        return np.array(numbers, dtype=np.int64)


def _curve(
    paired: dict[str, Paired], name: str, main: Score | None, reported: Sequence[float]
) -> TaskCurve | str:
    """A task along λ, or why there is no such curve.

    Args:
        paired: its documents.
        name: of the task.
        main: its main metric, at any λ.
        reported: value of that at each λ, ascending.
    """
    found = paired.get(main.key) if main else None
    if main is None or found is None or not len(found.ids):
        return f"{main.key if main else 'no metric'} has no document with a number at every λ"
    apart = np.abs(found.means - reported) if len(found.means) == len(reported) else np.array([])
    if not len(apart) or np.isnan(apart).all():
        return f"{main.key} has no λ with a number for every document, and so cannot be checked"
    if np.nanmax(apart) > _ROUNDING:
        return f"{main.key} is no mean over documents"
    return TaskCurve(
        *(name, main.counts_as, main.category, main.key, found.values, found.ids),
        more=_beside(paired, main.key),
        averaged=main.higher_is_better,
        baseline=main.random_baseline,
    )


def _beside(paired: dict[str, Paired], key: str) -> dict[str, Array]:
    """The other metrics that have a number wherever the main one has, on its documents."""
    ids, found = paired[key].ids, {}
    for name, each in paired.items():
        places = np.minimum(np.searchsorted(each.ids, ids), len(each.ids) - 1)
        if name != key and len(each.ids) and np.array_equal(each.ids[places], ids):
            found[name] = each.values[:, places] if len(each.ids) > len(ids) else each.values
    return found


def _judged(judge: JudgeFolder, clusters: _Clusters, lams: Array) -> TaskCurve | str:
    """A judge's win rate along λ, on the documents with a verdict at every λ; or why there is none.

    Verdicts are numbered as the task's documents are, in their order.
    """
    name, verdicts = judge.path.name, judge.documents()
    answers = next(iter(verdicts.tasks), "")
    paired = verdicts.paired(answers)
    found = paired.get(WIN)
    if found is None or not len(found.ids):
        return "no document has a verdict at every λ"
    if not np.array_equal(found.lams, lams):
        return f"it judged λ = {', '.join(f'{lam:g}' for lam in found.lams)}"
    ids = clusters.ids(answers)[found.ids]
    return TaskCurve(
        *(name, name, INSTRUCTION, WIN, found.values, ids, _beside(paired, WIN)),
        answers=answers,
    )


def _chosen(tasks: Sequence[TaskCurve], instruction: Sequence[str], path: Path) -> list[TaskCurve]:
    """The curves, of which no measurement of instruction following is averaged but the chosen."""
    known = [task for task in tasks if task.category == INSTRUCTION and task.averaged]
    names = list(dict.fromkeys(task.counted for task in known))
    judges = [task.counted for task in known if task.answers]
    if not instruction and judges and len(names) > 1:
        raise RunError(
            f"{path} has several measurements of instruction following, and a judge's is not "
            f"averaged with others unasked:\n{listed(names)}\nChoose by --instruction NAME (a "
            "name's beginning is enough; several are averaged)."
        )
    wanted = set(names if not instruction else [_named(name, names) for name in instruction])
    return [
        replace(task, averaged=task.averaged and task.counted in wanted)
        if task.category == INSTRUCTION
        else task
        for task in tasks
    ]


def _named(asked: str, names: Sequence[str]) -> str:
    found = [name for name in names if name == asked]
    found = found or [name for name in names if name.startswith(asked)]
    if len(found) != 1:
        raise RunError(
            f"--instruction {asked}: expected the name of one measurement of instruction "
            f"following, or its beginning. The run has:\n{listed(names) or '  none'}"
        )
    return found[0]


def _path_note(score: Score) -> list[str]:
    """What λ means where it leads through more than two checkpoints."""
    knots = _knots(score)
    named = ", ".join(f"{number} is {name}" for number, name in enumerate(knots))
    return [f"λ leads through {len(knots)} checkpoints: {named}."] if len(knots) > 2 else []


def _knob_note(run: RunFolder) -> list[str]:
    """What must be said of a sweep whose λ is a knob of a schedule."""
    settings = run.provenance().get("settings", {}) if run.provenance_file.exists() else {}
    if not settings.get("knob"):
        return []
    schedule = json.dumps(settings.get("model_args", {}).get("lam"))
    return [
        f"λ is here the knob {settings['knob']} of the schedule {schedule}: its 0 and 1 are no "
        "checkpoints."
    ]


def _mine(run: RunFolder, tasks: Sequence[TaskCurve], notes: list[str]) -> tuple[str, ...]:
    """The tasks that the fine-tune was made for, as the sweep was told."""
    settings = run.provenance().get("settings", {}) if run.provenance_file.exists() else {}
    names = tuple(map(str, settings.get("mine") or ()))
    known = {name for task in tasks for name in (task.name, task.counted, task.answers)}
    notes += [
        f"--mine {name}: no task of the run that is compared has this name (a group's tasks are "
        "named one by one), so that nothing is kept of it."
        for name in names
        if name not in known
    ]
    return tuple(name for name in names if name in known)


def _same(scores: Sequence[Score], main: Score | None) -> list[Score]:
    """Those of the same metric, by λ."""
    found = [score for score in scores if main and score.key == main.key]
    return sorted(found, key=lambda score: score.lam)


def _label(score: Score, *, mine: bool) -> str:
    """The pair or path by the last parts of its names; of a fine-tune what each of them is."""
    first, *others = _knots(score)
    if mine and len(others) == 1:
        return f"your fine-tune {others[0]} of its parent {first}"
    return " → ".join([first, *others])


def _knots(score: Score) -> tuple[str, ...]:
    """What is at λ = 0, 1, …: the last parts of the names, so many that they differ."""
    names = [name.rstrip("/").split("/") for name in (score.base, *score.instruct.split(" → "))]
    for parts in range(1, max(map(len, names)) + 1):
        found = ["/".join(name[-parts:]) for name in names]
        if len(set(found)) == len(found):
            return tuple(found)
    return tuple("/".join(name[-1:]) for name in names)
