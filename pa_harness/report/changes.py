"""Documents whose answer changes along λ, out of the sample logs, for people to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.runs.logged import answer_text, read_samples, target_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pa_harness.analysis.trajectory import TaskCurve, Trajectory

PER_TASK = 12  # documents shown; those whose answer changes most often come first
_CUT = 1200  # characters of a prompt, from its end, and of an answer


@dataclass(frozen=True)
class ChangedDocument:
    """One document and what was answered at each λ."""

    task: str
    number: int
    prompt: str
    target: str
    answers: tuple[str, ...]  # by λ
    values: tuple[float, ...]  # the main metric by λ


def changed_documents(
    trajectory: Trajectory, logs: Sequence[dict[str, Path]]
) -> list[ChangedDocument]:
    """Up to PER_TASK documents of each task whose main metric is not the same at every λ.

    Args:
        trajectory: the sweep.
        logs: for each λ, the sample log of each task.
    """
    found = []
    for task in trajectory.tasks:
        changes = (np.diff(task.values, axis=0) != 0).sum(axis=0)
        order = np.argsort(-changes, kind="stable")[:PER_TASK]
        columns = [int(column) for column in order if changes[column]]
        if columns:
            found += _of_task(task, columns, [log[task.name] for log in logs])
    return found


def _of_task(task: TaskCurve, columns: list[int], logs: Sequence[Path]) -> list[ChangedDocument]:
    wanted = {int(task.ids[column]): column for column in columns}
    name = "none" if task.answers else task.metric.rpartition(",")[2]
    by_lam = [read_samples(log, wanted.keys(), name) for log in logs]
    documents = []
    for number, column in wanted.items():
        samples = [found.get(number) for found in by_lam]
        if None in samples or not samples[0]:
            continue
        prompt = str(next(iter(samples[0]["arguments"].values()))["arg_0"])
        documents.append(
            ChangedDocument(
                *(task.name, number, _end(prompt), _end(target_text(samples[0]))),
                answers=tuple(_end(answer_text(sample)) for sample in samples if sample),
                values=tuple(float(value) for value in task.values[:, column]),
            )
        )
    return documents


def _end(text: str) -> str:
    return text if len(text) <= _CUT else f"… {text[-_CUT:]}"
