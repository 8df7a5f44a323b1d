"""Published demonstrations and prompts, read from the installed lm-eval and not copied.

BIG-Bench Hard: Suzgun et al. 2022 (arXiv 2210.09261) publish one instruction and three worked
examples for each of the 27 tasks; the dataset itself has only a test split. A YAML names them by
task:

    description: !function pa_harness.tasks.published.instruction_navigate
    fewshot_config:
      sampler: first_n
      samples: !function pa_harness.tasks.published.answers_navigate      # or reasoning_navigate

TruthfulQA: Lin et al. 2021 (arXiv 2109.07958) print six pairs of question and answer, the same for
every document.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined

from pa_harness.tasks.shipped import read_yaml

if TYPE_CHECKING:
    from jinja2 import Template

FOLDERS = {"answers": "fewshot", "reasoning": "cot_fewshot"}
_TRUTHFULQA = "truthfulqa/truthfulqa_mc1.yaml"  # truthfulqa_mc2.yaml includes it


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
        config = _published(f"bbh/{FOLDERS[self.kind]}/{self.task}.yaml")
        samples: list[dict[str, str]] = config["fewshot_config"]["samples"]
        return samples

    def __repr__(self) -> str:
        """As written into lm-eval's results, so without an address."""
        return f"Demonstrations({self.kind!r}, {self.task!r})"


def __getattr__(name: str) -> str | Demonstrations:
    """``instruction_TASK`` is a string, ``answers_TASK`` and ``reasoning_TASK`` are callables."""
    kind, _, task = name.partition("_")
    if kind == "instruction":
        return str(_published(f"bbh/fewshot/{task}.yaml")["description"])
    if kind in FOLDERS:
        return Demonstrations(kind, task)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def truthfulqa(doc: dict[str, Any]) -> str:
    """The pairs and the document's question, as in lm-eval's truthfulqa_mc2."""
    return _template(_TRUTHFULQA).render(**doc)


@cache
def _template(name: str) -> Template:
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_published(name)["doc_to_text"])


@cache
def _published(name: str) -> dict[str, Any]:
    """A task's YAML, found without importing lm-eval, which costs seconds."""
    package = find_spec("lm_eval")
    places = package.submodule_search_locations if package else None
    file = Path((places or [""])[0], "tasks", name)
    if not file.is_file():
        raise AttributeError(f"lm-eval has no {name} ({file})")
    return read_yaml(file)
