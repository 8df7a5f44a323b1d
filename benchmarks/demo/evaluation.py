"""One lm-eval run per λ, in one process: imports and task index are paid once."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.demo.data import TASKS

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from benchmarks.demo.pair import Pair

Results = dict[str, Any]  # lm-eval's own


def evaluate_lams(pair: Pair, tasks: Path, arguments: Namespace) -> dict[float, Results]:
    """Evaluate every λ and write lm-eval's results, one file each.

    Args:
        pair: the two models.
        tasks: folder of the task files.
        arguments: the command's `lam`, `limit` and `output_path`.

    Returns:
        The results by λ.
    """
    from lm_eval.tasks import TaskManager

    _quiet()
    manager = TaskManager(include_defaults=False, include_path=[str(tasks)])
    found = {}
    for lam in arguments.lam:
        sys.stderr.write(f"λ = {lam:g}\n")
        found[lam] = _evaluate(pair, lam, manager, arguments.limit)
        _save(found[lam], arguments.output_path / f"lam={lam:g}.json")
    return found


def _quiet() -> None:
    """Leave the progress bars of downloads and scoring; take the chatter from between them."""
    import datasets  # type: ignore[import-untyped]
    from transformers.utils import logging as transformers_logging

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    chatter: Any = transformers_logging  # untyped
    chatter.disable_progress_bar()


def _evaluate(pair: Pair, lam: float, manager: Any, limit: int) -> Results:
    from lm_eval import simple_evaluate

    results: Results = simple_evaluate(
        model="partially_adapted",
        model_args={
            "pretrained": pair.base,
            "instruct": pair.instruct,
            "lam": lam,
            "dtype": "float32",
        },
        tasks=list(TASKS),
        task_manager=manager,
        batch_size=1,  # no faster with more on a CPU, and free of padding
        device="cpu",
        limit=limit,
    )
    return results


def _save(results: Results, path: Path) -> None:
    from lm_eval.utils import handle_non_serializable

    written = {key: value for key, value in results.items() if key != "samples"}
    text = json.dumps(written, indent=2, default=handle_non_serializable, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
