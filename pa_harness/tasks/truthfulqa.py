"""TruthfulQA's prompt: six published question-answer pairs, read from the installed lm-eval.

Lin et al. 2021 (arXiv 2109.07958) print them; they are the same for every document.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from pa_harness.tasks.shipped import read_yaml

_FILE = "tasks/truthfulqa/truthfulqa_mc1.yaml"  # truthfulqa_mc2.yaml includes it


def prompt(doc: dict[str, Any]) -> str:
    """The pairs and the document's question, as in lm-eval's truthfulqa_mc2."""
    return _template().render(**doc)


@cache
def _template() -> Template:
    file = Path(str(resources.files("lm_eval").joinpath(_FILE)))
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(read_yaml(file)["doc_to_text"])
