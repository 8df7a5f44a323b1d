"""Documents whose answer changes along λ, out of the sample logs, for people to read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

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
    by_lam = [_read(log, wanted.keys(), name) for log in logs]
    documents = []
    for number, column in wanted.items():
        samples = [found.get(number) for found in by_lam]
        if None in samples or not samples[0]:
            continue
        prompt = str(next(iter(samples[0]["arguments"].values()))["arg_0"])
        documents.append(
            ChangedDocument(
                *(task.name, number, _end(prompt), _end(_target(samples[0]))),
                answers=tuple(_end(answer_text(sample)) for sample in samples if sample),
                values=tuple(float(value) for value in task.values[:, column]),
            )
        )
    return documents


def _read(log: Path, wanted: Any, name: str) -> dict[int, dict[str, Any]]:
    """The wanted samples of one filter; only their lines are parsed."""
    found = {}
    with log.open(encoding="utf-8") as file:
        for line in file:
            head = line[:40].partition('"doc_id": ')[2].partition(",")[0]
            if head.isdecimal() and int(head) in wanted:
                sample = json.loads(line)
                if sample.get("filter", name) == name:
                    found[int(head)] = sample
    return found


def answer_text(sample: dict[str, Any]) -> str:
    """What the model answered: the likeliest option, or the generated text."""
    resps = sample["resps"]
    first = resps[0][0]
    if len(resps) > 1 and isinstance(first, list):
        values = [float(each[0][0]) for each in resps]
        option = list(sample["arguments"].values())[values.index(max(values))]
        return str(option["arg_1"])
    return f"log-likelihood {first[0]}" if isinstance(first, list) else str(first)


def _target(sample: dict[str, Any]) -> str:
    """The right answer as text; multiple choice names it by number."""
    target, arguments = str(sample["target"]), list(sample["arguments"].values())
    if target.isdecimal() and len(arguments) > 1 and int(target) < len(arguments):
        return str(arguments[int(target)]["arg_1"])
    return target


def _end(text: str) -> str:
    return text if len(text) <= _CUT else f"… {text[-_CUT:]}"
