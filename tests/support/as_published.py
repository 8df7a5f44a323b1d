"""Results files in lm-eval's form that hold a published model's own numbers."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pa_harness.interchange.reported import YES
from pa_harness.leaderboards.published import published

if TYPE_CHECKING:
    from pa_harness.interchange.reported import Reported
    from pa_harness.leaderboards.boards import Board, BoardTask, Part

Run = list["Reported"]


def runs(board: Board) -> list[Run]:
    """The official published runs of a leaderboard, rows each."""
    found: dict[tuple[str, ...], Run] = defaultdict(list)
    for row in board.rows(published()):
        if row.official:
            key = (row.model, row.run, row.precision, row.chat_template, row.date)
            found[key].append(row)
    return list(found.values())


def run_of(board: Board, model: str, precision: str = "") -> Run:
    """The run of a model, in a precision where there are several."""
    every = [run for run in runs(board) if run[0].model == model]
    (found,) = [run for run in every if precision in ("", run[0].precision)]
    return found


def results_of(board: Board, run: Run, **config: Any) -> dict[str, Any]:
    """What lm-eval would have written, had it measured just the published numbers."""
    first = run[0]
    content: dict[str, Any] = {
        **{"results": {}, "configs": {}, "versions": {}, "n-shot": {}, "n-samples": {}},
        "config": {
            "model": "hf",
            "model_args": {"pretrained": first.model},
            "model_dtype": f"torch.{first.precision}",
            "limit": None,
            **config,
        },
        "chat_template": "{{ messages }}" if first.chat_template == YES else None,
        "date": 1.0,
    }
    if not first.chat_template:
        del content["chat_template"]
    for task in board.tasks:
        rows = [row for row in run if row.task == task.name]
        if task.shared:
            rows = [row for row in rows if row.metric == task.metrics[0]]
        for row in rows:
            _add(content, board, task, row)
    return content


def _add(content: dict[str, Any], board: Board, task: BoardTask, row: Reported) -> None:
    pattern = task.name if task.name in task.accepted else next(iter(task.accepted))
    parts: tuple[Part | None, ...] = task.parts or (None,)
    for name, part in zip(task.leaves(pattern), parts, strict=True):
        options = part.options if part and task.per_part else task.options
        value = row.value
        if board.normalized and options:
            value = 1 / options + value * (1 - 1 / options)
        unit = 100 if task.shared else 1
        keys = [f"{m},none" if task.shared else m for m in task.metrics]
        numbers = content["results"].setdefault(name, {"alias": name})
        numbers |= dict.fromkeys(keys, value * unit)
        documents = part.documents if part else task.documents
        content["configs"][name] = {"metadata": {}}
        content["versions"][name] = float((task.accepted[pattern] or ("1",))[-1])
        content["n-shot"][name] = task.shots
        content["n-samples"][name] = {"original": documents, "effective": documents}
