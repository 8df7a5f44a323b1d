"""Metrics of tasks with options that lm-eval can only compute for some numbers of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_OF_TWO = "f1"  # lm-eval's aggregation: sklearn's f1_score, of labels 0 and 1 only


def metrics_of_two(task: Any) -> list[str]:
    """The metrics that a task averages by lm-eval's ``f1``."""
    return [
        each["metric"]
        for each in task.config.metric_list or []
        if _OF_TWO in (each["metric"], each.get("aggregation"))
    ]


def options_of_f1(task: Any, choices: Iterable[Sequence[Any]]) -> int:
    """How many options there are where lm-eval's f1 fails for them; 0 where it does not.

    Args:
        task: lm-eval's.
        choices: per document its options; looked at only where the task is scored by them.
    """
    if task.OUTPUT_TYPE != "multiple_choice" or not metrics_of_two(task):
        return 0
    most = max(map(len, choices), default=0)
    return most if most > 2 else 0
