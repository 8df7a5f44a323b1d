"""Tasks that cannot be checked: one message that says why, exit code 2, no traceback."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from own_tasks import Task, write

from pa_harness.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable


def put(**texts: str) -> Callable[[], None]:
    """Write files; the name's last underscore is its dot."""

    def act() -> None:
        for name, text in texts.items():
            Path(".".join(name.rsplit("_", 1))).write_text(text)

    return act


EMPTIED = "def none(docs):\n    return docs.select([])\ndef bad(docs):\n    return docs['no']\n"
BY_FUNCTION = "include: _task\nprocess_docs: !function own.{}\n"
SLICED = {"data_files": {"rows": "test.jsonl"}, "split": {"test": "rows[12:]", "shots": "rows[:2]"}}
BROKEN: dict[str, tuple[Task, Callable[[], None] | None, str]] = {
    "no file": ({}, lambda: Path("odd.yaml").unlink(), r"TaskError: There is no file odd\.yaml"),
    "no YAML": ({}, put(odd_yaml="task: odd\ntest_split: 'x\n"), r"line 3: found unexp"),
    "a list": ({}, put(odd_yaml="- odd\n"), r"odd\.yaml cannot be read: .* Expected key: value"),
    "nameless": ({"task": None}, None, r"odd\.yaml names neither task: nor group:"),
    "unknown key": (
        {"doc_to_txt": "x"},
        None,
        r"no key 'doc_to_txt' .* Did you mean doc_to_text",
    ),
    "no data set": ({"dataset_path": None}, None, r"There is no dataset_path:\. Expected json"),
    "no data file": ({}, lambda: Path("test.jsonl").unlink(), r"There is no file .*test\.jsonl"),
    "malformed data": (
        {},
        put(test_jsonl='{"question": 1}\n{"q'),
        r"test\.jsonl, line 2: not JSON",
    ),
    "empty data": ({}, put(test_jsonl=""), r"DataFileError: .*test\.jsonl is empty"),
    "empty split": (
        {"dataset_kwargs": SLICED},
        None,
        r"cannot be loaded: ValueError: Instruction .rows\[12:\]. corresponds to no data\.$",
    ),
    "unknown split": (
        {"test_split": "dev"},
        None,
        r"test_split: dev: json has no such split\. Its",
    ),
    "unknown shots": ({"fewshot_split": "dev"}, None, r"fewshot_split: dev: .*splits: test, shots"),
    "no split": ({"test_split": None}, None, r"There is no test_split: .* Splits of json: test, s"),
    "unknown column": (
        {"doc_to_text": "{{qestion}}:"},
        None,
        r"doc_to_text uses 'qestion', which no document has\. Did you mean question\? Colu",
    ),
    "unknown name": (
        {"doc_to_target": "lable"},
        None,
        r"doc_to_target uses 'lable', which no docum",
    ),
    "unknown options": (
        {"doc_to_choice": "opts"},
        None,
        r"doc_to_choice uses 'opts', which no docu",
    ),
    "shots' column": (
        {"fewshot_config": {"sampler": "first_n", "doc_to_text": "{{qest}}"}},
        None,
        r"fewshot_config\.doc_to_text uses 'qest'",
    ),
    "no template": ({"doc_to_text": "{{question"}, None, r"'{{question' is no Jinja template: "),
    "no function": (
        {},
        put(odd_yaml="task: odd\nprocess_docs: !function no_such.thing\n"),
        r"odd\.yaml cannot be read: ImportError: Cannot import module 'no_such'",
    ),
    "no include": ({}, put(odd_yaml="include: absent\n"), r"cannot be read: FileNotFoundError"),
    "emptied": (
        {},
        put(own_py=EMPTIED, odd_yaml=BY_FUNCTION.format("none")),
        r"test_split: test is empty",
    ),
    "failing function": (
        {},
        put(own_py=EMPTIED, odd_yaml=BY_FUNCTION.format("bad")),
        r"process_docs fails on test_split 'test': ValueError: Column 'no'",
    ),
    "the whole disk": (
        {"dataset_kwargs": {"data_files": {"test": "/**/*.json"}}},
        None,
        r"the data files /\*\*/\*\.json are looked for in /, which is neither below",
    ),
    "what lies above": (
        {"dataset_kwargs": {"data_files": ["../../*/x.json"]}},
        None,
        r"the data files \.\./\.\./\*/x\.json are looked for in /",
    ),
    "unreachable": (
        {"dataset_path": "no/such", "dataset_kwargs": None},
        None,
        r"The data set no/such cannot be loaded: ",
    ),
    "filter": (
        {"filter_list": [{"name": "x", "filter": [{"function": "no_such"}]}]},
        None,
        r"lm-eval cannot build odd \(.*odd\.yaml\): KeyError: .*no_such",
    ),
    "a class": (
        {},
        put(own_py="class A: pass\n", odd_yaml="task: odd\nclass: !function own.A\n"),
        r"odd\.yaml is a Python class; only tasks written as YAML",
    ),
    "members": (
        {"num_fewshot": 2, "test_split": "dev"},
        put(both_yaml="group: both\ntask: [odd]\n"),
        r"The group both cannot be loaded: KeyError: .* Check its tasks one by one",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_task(what: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes, act, message = BROKEN[what]
    write(changes)
    Path("_task").write_text(Path("odd.yaml").read_text())
    if act:
        act()
    file = "both.yaml" if what == "members" else "odd.yaml"
    assert main(["check-task", file]) == 2
    shown = capsys.readouterr()
    assert re.search(message, shown.err), shown.err
    assert not shown.out


@pytest.mark.slow
def test_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """lm-eval's own tasks are looked through for a name that is not ours."""
    assert main(["check-task", "arc_eazy"]) == 2
    assert re.search(
        r"There is no task 'arc_eazy' among ours and lm-eval's\. Did you mean arc_easy",
        capsys.readouterr().err,
    )


def test_senseless_limit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-task", "odd.yaml", "--limit", "0"]) == 2
    assert "--limit 0: expected 1 or more documents" in capsys.readouterr().err
