"""What lm-eval logs of the demo's tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from benchmarks.demo.data import TASKS

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = 8


def samples(tasks: Path, model: str, **model_args: Any) -> dict[str, list[float]]:
    """Task -> log-likelihoods of every document and option, in order."""
    results = simple_evaluate(
        model=model,
        model_args={**model_args, "dtype": "float32"},
        tasks=list(TASKS),
        task_manager=TaskManager(include_defaults=False, include_path=[str(tasks)]),
        device="cpu",
        batch_size=1,
        limit=DOCUMENTS,
    )
    return {
        task: [float(answer[0][0]) for sample in logged for answer in sample["resps"]]
        for task, logged in results["samples"].items()
    }
