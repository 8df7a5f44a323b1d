"""Where the shipped task YAMLs are, and what they say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CATEGORIES = ("knowledge", "commonsense", "language", "symbolic", "reading", "finance")
INSTRUCTION = "instruction"  # the category of tasks that are asked in chat format and make IF
REASONING = "reasoning"  # the category of tasks that are asked in chat format, too, and are no IF
OTHERS = (
    "alpaca_eval",
    "open_llm",
    "reasoning",
)  # how folders begin whose tasks are not the benchmark's


def tasks_folder() -> Path:
    """The folder of the shipped task YAMLs.

    A wheel carries them inside the package; an editable install or a checkout has them beside it
    (no build backend can map a top-level folder into an editable package).

    Returns:
        The folder. It may be missing in a half-removed installation; callers that index it
        (lm-eval's task manager) then simply find nothing.
    """
    package = Path(__file__).parents[1]
    inside = package / "task_configs"
    return inside if inside.is_dir() else package.parent / "task_configs"


@dataclass(frozen=True)
class ShippedTask:
    """One shipped task, as its YAML states it; parts (MMLU's subjects) are taken together.

    Attributes:
        name: lm-eval's name of the task, or of the group where it has parts.
        category: One of `CATEGORIES`.
        scoring: ``cf``, ``mcf`` or ``gen``.
        num_fewshot: Demonstrations in a prompt.
        split: The evaluated split.
        documents: Evaluated documents of the published split, all parts together.
        cluster: The column that documents which stand together have in common; empty where none
            does, and `tasks.clusters` goes by texts.
        clusters: How many there are of it, where that is published or was counted; else 0.
        metric: The main metric as lm-eval names it, ``name,filter``.
        random_baseline: What guessing scores (fraction), the mean over parts.
        source: The paper.
        licence: The data's licence, as its authors or the hub state it.
        matches: Published setups with the same prompt or shots.
        suite: Why the suite has the task in this scoring; empty where it has not.
    """

    name: str
    category: str
    scoring: str
    num_fewshot: int
    split: str
    documents: int
    cluster: str
    clusters: int
    metric: str
    random_baseline: float
    source: str
    licence: str
    matches: str
    suite: str


def suite_files() -> list[Path]:
    """The YAMLs of the benchmark: not those that a judge scores or that match a leaderboard."""
    files = sorted(tasks_folder().glob("*/*.yaml"))
    return [file for file in files if not file.parent.name.startswith(OTHERS)]


def shipped_tasks() -> list[ShippedTask]:
    """The shipped few-shot tasks but the smaller copies (``_lite``), by category and name."""
    found = []
    for file in suite_files():
        if not file.stem.endswith("_lite"):
            found.append(_shipped(read_yaml(file)))
    return sorted(found, key=lambda task: (CATEGORIES.index(task.category), task.name))


def read_yaml(file: Path) -> dict[str, Any]:
    """A task's YAML with what it includes; a ``!function`` stays a string.

    lm-eval's own reader does the same, but importing lm-eval costs seconds.
    """
    own: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    included = own.pop("include", None)
    return {**read_yaml(file.parent / included), **own} if included else own


def task_table() -> str:
    """The shipped tasks as a Markdown table, as in ``task_configs/README.md``."""
    rows = [_cells(task) for task in shipped_tasks()]
    lines = [list(rows[0]), *([*row.values()] for row in rows)]
    head, *body = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def _cells(task: ShippedTask) -> dict[str, str]:
    return {
        "task": f"`{task.name}`",
        "category": task.category,
        "scoring": task.scoring,
        "shots": str(task.num_fewshot),
        "split": task.split,
        "documents": f"{task.documents:,}",
        "clusters": _clusters(task),
        "metric": task.metric.partition(",")[0],
        "random baseline": f"{task.random_baseline:.3g}",
        "source": task.source,
        "licence": task.licence,
        "setup it matches": task.matches,
        "in the suite because": task.suite or "–",
    }


def _clusters(task: ShippedTask) -> str:
    by = f"by `{task.cluster}`" if task.cluster else "–"
    return f"{task.clusters:,} {by}" if task.clusters else by


def _shipped(config: dict[str, Any]) -> ShippedTask:
    parts = config["task"] if "group" in config else [config]
    metadata = parts[0]["metadata"]
    return ShippedTask(
        name=config.get("group") or config["task"],
        category=metadata["category"],
        scoring=metadata["scoring"],
        num_fewshot=config["num_fewshot"],
        split=config["test_split"],
        documents=metadata["splits"][config["test_split"]],
        cluster=metadata.get("cluster", ""),
        clusters=metadata.get("clusters", 0),
        metric=metadata["metric"],
        random_baseline=sum(p["metadata"]["random_baseline"] for p in parts) / len(parts),
        source=metadata["source"],
        licence=metadata["licence"],
        matches=metadata["matches"],
        suite=metadata.get("suite", ""),
    )


class _Loader(yaml.SafeLoader):
    """Plain YAML in which ``!function`` is text."""


def _as_text(_loader: yaml.SafeLoader, node: yaml.Node) -> str:
    return str(node.value)


_Loader.add_constructor("!function", _as_text)
