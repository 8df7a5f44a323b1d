"""BIG-Bench Hard's published demonstrations, read from the installed lm-eval.

Suzgun et al. 2022 (arXiv 2210.09261) publish one instruction and three worked examples for each of
the 27 tasks; the dataset itself has only a test split. lm-eval ships them (``lm_eval/tasks/bbh``),
so they are read from there and not copied. A YAML names them by task:

    description: !function pa_harness.tasks.published.instruction_navigate
    fewshot_config:
      sampler: first_n
      samples: !function pa_harness.tasks.published.answers_navigate      # or reasoning_navigate
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

FOLDERS = {"answers": "fewshot", "reasoning": "cot_fewshot"}


class Demonstrations:
    """Callable that gives lm-eval's three demonstrations of one task.

    Args:
        kind: ``answers`` (the answer only) or ``reasoning`` (a chain of thought before it).
        task: BBH's name of the task.
    """

    def __init__(self, kind: str, task: str) -> None:
        self.kind = kind
        self.task = task

    def __call__(self) -> list[dict[str, str]]:
        """Three rows with ``input`` and ``target``."""
        samples: list[dict[str, str]] = _published(FOLDERS[self.kind], self.task)["fewshot_config"][
            "samples"
        ]
        return samples

    def __repr__(self) -> str:
        """As written into lm-eval's results, so without an address."""
        return f"Demonstrations({self.kind!r}, {self.task!r})"


def __getattr__(name: str) -> str | Demonstrations:
    """``instruction_TASK`` is a string, ``answers_TASK`` and ``reasoning_TASK`` are callables."""
    kind, _, task = name.partition("_")
    if kind == "instruction":
        return str(_published("fewshot", task)["description"])
    if kind in FOLDERS:
        return Demonstrations(kind, task)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _published(folder: str, task: str) -> dict[str, Any]:
    package = find_spec("lm_eval")
    places = package.submodule_search_locations if package else None
    file = Path((places or [""])[0], "tasks", "bbh", folder, f"{task}.yaml")
    if not file.is_file():
        raise AttributeError(f"lm-eval has no BIG-Bench Hard task {task!r} ({file})")
    loaded: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return loaded
