"""Names of tasks without lm-eval: the same names as lm-eval finds, in every form of YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lm_eval.tasks._index import TaskIndex

from pa_harness.tasks.index import index, lm_eval_index
from pa_harness.tasks.shipped import tasks_folder

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "plain.yaml": "task: plain\ntag: [first, second]\ndoc_to_text: 'a: b'\n",
    "quoted.yaml": "\"task\": 'quoted one'\n'tag': first\n",
    "list.yaml": "# a comment\n\ntag:\n- first\n- third\ntask: list\n",
    "flow.yaml": "{task: flow, tag: first}\n",
    "marked.yaml": "---\ntask: marked\n",
    "python.yaml": "class: !function code.Task\ntask: python\n",
    "group.yaml": "group: all\ntask:\n  - plain\n  - group: inner\n    task: [list]\n",
    "including.yaml": "include: base\ntask: including\n",
    "base": "include: deeper/base\ntag: inherited\ndoc_to_text: !function a.b\n",
    "deeper/base": "tag: overridden\ntask: none\n",
    "deeper/second.yaml": "include: [base]\ntask: second\n",
    "again.yaml": "task: plain\ntag: never\n",
    "prompt.yaml": "doc_to_text: |\n  task: inside\n  tag: inside\ntask: prompt\n",
    "broken.yaml": "task: [unclosed\n",
    "none.yaml": "dataset_path: x\n",
    "list_of_tasks.yaml": "task: [a, b]\n",
    "circle.yaml": "include: circle.yaml\ntask: circle\n",
    "__pycache__/no.yaml": "task: no\n",
    "number.yaml": "task: tag_first\ntag: [plain]\n",
}


def same(folder: Path) -> bool:
    theirs, ours = TaskIndex.build([folder]), index(folder)
    assert ours.keys() == theirs.keys()
    for name, entry in theirs.items():
        found = ours[name]
        assert (found.kind.upper(), found.tags) == (entry.kind.name, entry.tags), name
        assert found.file == entry.yaml_path
    return bool(ours)


def test_every_form_of_a_file(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert same(tmp_path)
    assert {"plain", "quoted one", "including", "inherited", "all"} <= index(tmp_path).keys()


def test_the_shipped_tasks() -> None:
    assert same(tasks_folder())


def test_no_folder_holds_no_names(tmp_path: Path) -> None:
    assert index(tmp_path / "none") == {}


@pytest.mark.slow
def test_all_of_lm_evals_own() -> None:
    files = [each.file for each in lm_eval_index().values() if each.file]
    folder = next(file for file in files if file.name == "arc_easy.yaml").parents[1]
    assert same(folder)
    assert len(files) > 10_000
