"""Documents lost and won as `recompute_report` needs them; nothing of pa_harness."""

from __future__ import annotations

import re
from typing import Any

import numpy as np


def of_table(run: Any, caption: str) -> dict[str, Any]:
    """The columns of a ledger's table by λ, NaN where there is no number.

    Args:
        run: `recomputed_run.Run`.
        caption: of the table.
    """
    said = re.fullmatch(r"(.*) against λ = (\S+): (\d+) documents.*", caption)
    name, against, count = said.groups() if said else ("", "nan", "0")
    members = [task for task in run.tasks if task.counted == name]
    tasks = members or run.members[name]
    if sum(len(task.ids) for task in tasks) != int(count):
        raise AssertionError(caption)
    before = run.lams.index(float(against))
    sizes = {task.counted: sum(t.counted == task.counted for t in tasks) for task in tasks}
    found: dict[str, Any] = {}
    for column, sign in (("lost", -1), ("won", 1)):
        plain = sum(
            np.maximum(sign * (task.values - task.values[before]), 0).mean(axis=1)
            / (len(sizes) * sizes[task.counted])
            for task in tasks
        )
        found[column] = plain
        corrected = sum(
            _corrected(task, before, sign) / (len(sizes) * sizes[task.counted]) for task in tasks
        )
        found[f"{column}, corrected"] = np.maximum(corrected, 0)
    return found


def _corrected(task: Any, before: int, sign: int) -> Any:
    guess = np.full(task.values.shape[1], task.baseline)
    if np.isnan(task.baseline):  # one in so many answers, a free text is not guessed
        options = np.array([len(sample["arguments"]) for sample in task.samples[0]])
        guess = np.where(options > 1, 1 / options, 0)
    if not np.isin(task.values, (0, 1)).all():
        return np.full(len(task.values), np.nan)
    found = []
    for row in task.values:
        moved = sign * (row - task.values[before]) > 0
        wrong = (row == 0) & (task.values[before] == 0)
        found.append(np.mean((moved - wrong * guess / (1 - guess)) / (1 - guess)))
    return np.where(np.arange(len(found)) == before, 0, found)
