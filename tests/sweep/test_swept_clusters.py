"""A sweep keeps which documents stand together, and says a wrong name before it loads a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy import run, toy_settings, write_tasks

from pa_harness.errors import TaskError
from pa_harness.runs.folder import RunFolder

Pair = tuple[Path, Path]


def clustered(folder: Path, cluster: str) -> Path:
    """The toy tasks; toy_kind's documents are of stories, toy_answer's first four ask the same."""
    tasks = write_tasks(folder)
    for name, change in (
        ("toy_kind", lambda row, n: row | {"story": f"story {n // 3}"}),
        ("toy_answer", lambda row, n: row | ({"question": "which?"} if n < 4 else {})),
    ):
        file = folder / f"{name}.jsonl"
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(change(row, n)) + "\n" for n, row in enumerate(rows)))
    file = tasks / "toy_kind.yaml"
    file.write_text(file.read_text().replace("counts_as: toy", f"counts_as: toy, {cluster}"))
    return tasks


def test_clusters_stand_in_the_documents_table(tmp_path: Path, pair: Pair) -> None:
    tasks = clustered(tmp_path, "cluster: story")
    run(toy_settings(pair, tasks, lam="0,1"), tmp_path / "run")
    found = RunFolder(tmp_path / "run").documents()
    for name, expected in (
        ("toy_colour", [*range(12)]),
        ("toy_kind", [n // 3 for n in range(12)]),
        ("toy_answer", [0, 0, 0, 0, *range(1, 9)]),
    ):
        names = found.clusters(name)
        order = list(dict.fromkeys(names.values()))
        assert [order.index(names[n]) for n in range(12)] == expected, name


def test_a_wrong_name_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    tasks = clustered(tmp_path, "cluster: storey")
    nowhere = (tmp_path / "base", tmp_path / "instruct")
    for folder in nowhere:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    with pytest.raises(TaskError, match=r"toy_kind: metadata: cluster: storey: .* no such column"):
        run(toy_settings(nowhere, tasks), tmp_path / "run")
