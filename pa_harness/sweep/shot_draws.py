"""Several draws of a task's demonstrations: one draw is one of many that might have been shown.

A draw is a task of its own to lm-eval, named `TASK@draw2`, so that its units are kept and resumed
as all others. Its demonstrations come from the split that the task's own do, in another order:
shuffled by a seed, then through what the task does with that split (a round of all labels after
another, no two of one passage). A sampler that draws anew for every document (lm-eval's default)
gets another seed. The first draw is the task's own.
"""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

from pa_harness.errors import SweepError
from pa_harness.runs.scores import DRAW
from pa_harness.tasks.average import counted_as

if TYPE_CHECKING:
    from pa_harness.runs.settings import SweepSettings


def with_draws(tasks: dict[str, Any], settings: SweepSettings) -> dict[str, Any]:
    """The tasks, each followed by its further draws, where there is something to draw from.

    Args:
        tasks: lm-eval's, by name, with their shots set.
        settings: `fewshot_draws`, and the seed of few-shot sampling.

    Raises:
        SweepError: documents are chosen by number, or a task's name is a draw's.
    """
    if settings.fewshot_draws is None:
        return tasks
    if settings.samples:
        raise SweepError(
            "--samples with --fewshot_draws: documents are chosen by task, and a draw is a task of "
            "its own. Leave one of them out; --limit goes with draws."
        )
    found = {}
    for name, task in tasks.items():
        found[name] = task
        if has_draws(task):
            for number in range(2, settings.fewshot_draws + 1):
                found[f"{name}{DRAW}{number}"] = _drawn(name, task, number, settings)
    return found


def has_draws(task: Any) -> bool:
    """Whether other demonstrations than the task's own can be shown."""
    shots = task.get_config("num_fewshot") or 0
    pool = getattr(getattr(task, "sampler", None), "df", None) or []
    return 0 < shots < len(pool)


def undrawn(tasks: dict[str, Any]) -> str:
    """A sentence on the tasks that have shots and one draw of them only; empty without such."""
    alone = [
        name
        for name, task in tasks.items()
        if (task.get_config("num_fewshot") or 0) and not has_draws(task)
    ]
    if not alone:
        return ""
    return (
        f"No other demonstrations than their own can be shown in: {', '.join(alone)}. Intervals "
        "hold for these."
    )


def _drawn(name: str, task: Any, number: int, settings: SweepSettings) -> Any:
    """A copy of a task with demonstrations of its own."""
    seed = (settings.seed[3] or 0) + number
    made = copy.copy(task)
    metadata = dict(task.config.metadata or {})
    metadata["counts_as"] = counted_as(name, metadata)
    made._config = copy.copy(task.config)  # noqa: SLF001 -- lm-eval's copy of a task shares it
    made.config.task, made.config.metadata = f"{name}{DRAW}{number}", metadata
    made.sampler = copy.copy(task.sampler)
    if task.fewshot_cfg.sampler == "first_n":
        made.sampler.replace_df(_shuffled(task, seed))
    made.set_fewshot_seed(seed=seed)
    return made


def _shuffled(task: Any, seed: int) -> list[dict[str, Any]]:
    """What demonstrations are taken from, in another order."""
    how = task.fewshot_cfg
    if how.split is None:
        rows = list(task.fewshot_docs())
        random.Random(seed).shuffle(rows)
        return rows
    split = task.dataset[how.split].shuffle(seed=seed)
    return list(how.process_docs(split) if how.process_docs else split)
