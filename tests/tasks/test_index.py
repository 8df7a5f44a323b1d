"""Names of tasks without lm-eval: the same names as lm-eval finds, in every form of YAML."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from lm_eval.tasks._index import TaskIndex
from own_tasks import write

from pa_harness.cli.main import main
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


_NINE = ["x0: &x0 [y, y, y, y, y, y, y, y, y]"]
_NINE += [f"x{n + 1}: &x{n + 1} [{', '.join([f'*x{n}'] * 9)}]" for n in range(8)]
_MERGED = ["x0: &x0 {a: 1, b: 2}"]
_MERGED += [f"x{n + 1}: &x{n + 1} {{<<: [{', '.join([f'*x{n}'] * 9)}]}}" for n in range(8)]
BESIDE = {
    "aliases": ("task: z\n" + "\n".join(_NINE), "line 5: aliases"),
    "aliases in a tag": ("\n".join(_NINE) + "\ntask: z\ntag: *x8\n", "line 4: aliases"),
    "merges": ("task: z\n" + "\n".join(_MERGED), "line 6: aliases"),
    "nesting": ("task: z\nx: " + "[" * 100_000, "line 2: nested deeper"),
    "indents": ("\n".join(" " * n + "a:" for n in range(999)), "nested deeper"),
    "sixtieths": ("x: 1" + ":59" * 100_000 + "\ntask: z\n", "line 1: a number of"),
    "a large one": ("task: z\n" + "# x\n" * (1 << 20), "it is larger than 4 MiB"),
    "a pipe": ("task: z\ninclude: pipe\n", "it is no regular file"),
    "a device": ("task: z\ninclude: /dev/zero\n", "it is no regular file"),
    "itself": ("task: z\ninclude: [other.yaml, ./other.yaml]\n", None),
    "no name": ("task:\n", None),
}


@pytest.mark.parametrize("what", BESIDE)
def test_what_lies_beside_stops_nothing(
    what: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write({})
    (folder / "group.yaml").write_text("group: both\ntask: [odd]\n")
    os.mkfifo(folder / "pipe")
    text, why = BESIDE[what]
    (folder / "other.yaml").write_text(text)
    unread: dict[str, str] = {}
    began = time.process_time()
    assert index(folder, unread).keys() == {"odd", "both"}
    assert time.process_time() - began < 2
    assert [*unread] == ([f"{folder}/other.yaml"] if why else [])
    assert main(["check-task", "group.yaml"]) == 0
    (folder / "group.yaml").write_text("group: both\ntask: [odd, z]\n")
    capsys.readouterr()
    assert main(["check-task", "group.yaml"]) == 2
    assert (why or "") in capsys.readouterr().err


@pytest.mark.slow
def test_all_of_lm_evals_own() -> None:
    files = [each.file for each in lm_eval_index().values() if each.file]
    folder = next(file for file in files if file.name == "arc_easy.yaml").parents[1]
    assert same(folder)
    assert len(files) > 10_000
