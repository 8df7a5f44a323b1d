"""Data files and task YAMLs of users, sound ones, to be changed by the tests."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pa_harness.cli.main import main
from pa_harness.tasks.authoring.check import check_tasks
from pa_harness.tasks.authoring.source import load_tasks

if TYPE_CHECKING:
    import pytest

    from pa_harness.tasks.authoring.material import Finding

Row = dict[str, Any]
Task = dict[str, Any]
LABELS = ["no", "yes"]
ROWS = [{"question": f"Is {n} odd?", "label": n % 2} for n in range(12)]
SHOTS = [{"question": f"Is -{n} odd?", "label": n % 2} for n in range(1, 4)]
TASK: Task = {
    "task": "odd",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "test.jsonl", "shots": "shots.jsonl"}},
    "test_split": "test",
    "fewshot_split": "shots",
    "fewshot_config": {"sampler": "first_n"},
    "num_fewshot": 2,
    "output_type": "multiple_choice",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_choice": LABELS,
    "doc_to_target": "label",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {
        "version": 1.0,
        "category": "own",
        "scoring": "cf",
        "metric": "acc,none",
        "random_baseline": 0.5,
    },
}
MATCH = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
GENERATION = {
    "output_type": "generate_until",
    "doc_to_choice": None,
    "doc_to_target": "{{['no', 'yes'][label]}}",
    "generation_kwargs": {"until": ["\n"], "do_sample": False, "max_gen_toks": 8},
    "metric_list": [MATCH],
    "metadata": TASK["metadata"] | {"scoring": "gen", "metric": "exact_match,none"},
}
# Options of their own for each row, as in most cloze tasks.
OWN = [
    {"question": f"q{n}", "options": ["x" * (1 + n % 3), "yy", "z"], "label": n % 3}
    for n in range(12)
]
LISTED = {
    "doc_to_choice": "options",
    "metadata": TASK["metadata"] | {"random_baseline": 0.333},
}


APART = [{**row, "question": f"s {row['question']}"} for row in OWN]


def write(changes: Task, rows: list[Row] | None = None, shots: list[Row] | None = None) -> None:
    """odd.yaml and its two data files; a change to None takes the key away."""
    Path("test.jsonl").write_text("\n".join(map(json.dumps, rows or ROWS)))
    Path("shots.jsonl").write_text("\n".join(map(json.dumps, shots or SHOTS)))
    task = {key: value for key, value in (TASK | changes).items() if value is not None}
    Path("odd.yaml").write_text(yaml.safe_dump(task, sort_keys=False))


def findings(tokenizers: tuple[str, ...] = (), **options: Any) -> list[Finding]:
    (report,) = check_tasks("odd.yaml", list(tokenizers), **options)
    return report.findings


def changed(at: int, rows: list[Row] = ROWS, **values: Any) -> list[Row]:
    return [{**row, **values} if n == at else row for n, row in enumerate(rows)]


Flaw = tuple[Task, "list[Row] | None", "list[Row] | None", str, str]


def assert_flaw(flaw: Flaw, capsys: pytest.CaptureFixture[str]) -> None:
    """Changes, rows and shots; they are found once, at a level, and the verb prints it."""
    changes, rows, shots, level, message = flaw
    write(changes, rows, shots)
    found = findings()
    assert [f.level for f in found if re.search(message, f.what)] == [level], found
    assert found == sorted(found, key=lambda f: ["error", "warning", "note"].index(f.level))
    failed = any(f.level == "error" for f in found)
    assert main(["check-task", "odd.yaml"]) == (2 if failed else 0)
    assert re.search(message.rstrip("$"), capsys.readouterr().out)


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, *replies: str | KeyboardInterrupt) -> list[str]:
    """Somebody sits there, and replies so, or presses Ctrl-C; what is asked, as it comes."""
    asked: list[str] = []
    coming = iter(replies)

    def reply(question: str) -> str:
        asked.append(question)
        said = next(coming)
        if isinstance(said, KeyboardInterrupt):
            raise said
        return said

    monkeypatch.setattr("builtins.input", reply)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    return asked


# The first answers are shots in most tests. One option is a number, which lm-eval would take for
# an index; one is a word that CSV readers take for a missing value.
OPTIONS = [["film", "blue"], ["dog", "loop"], ["NA", "4"], ["great", "human"], ["7", "fox"]]
GOLD = [1, 0, 1, 1, 0]
QUESTIONS = ["Which is a colour?", " Who barks? ", 'Is it 4 or "NA"?', "Who reads?", "Is it 7?"]
ANSWERS = {
    "text": [options[gold] for options, gold in zip(OPTIONS, GOLD, strict=True)],
    "letter": ["AB"[gold] for gold in GOLD],
    "index0": GOLD,
    "index1": [gold + 1 for gold in GOLD],
}


def rows_of(answers: list[Any]) -> list[Row]:
    return [
        {"question": q, "choices": o, "answer": a}
        for q, o, a in zip(QUESTIONS, OPTIONS, answers, strict=True)
    ]


def write_data(file: Path, rows: list[Row]) -> Path:
    """The rows as JSON lines, or as CSV or TSV with the options in columns a, b, ..."""
    if file.suffix == ".jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
        return file
    flat = [dict(row) for row in rows]
    for row in flat:
        row.update(zip("abcdef", row.pop("choices", []), strict=False))
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(
            out, list(flat[0]), delimiter="\t" if file.suffix == ".tsv" else ","
        )
        writer.writeheader()
        writer.writerows(flat)
    return file


def task_of(file: Path) -> Any:
    (loaded,) = load_tasks(str(file)).tasks
    return loaded.task


TWO_COLOURS = """\
task: two_colours
dataset_path: json
dataset_kwargs: {data_files: {test: "%s"}}
output_type: multiple_choice
test_split: test
doc_to_text: "Question: {{question}} Answer:"
doc_to_choice: [" blue", " film"]
doc_to_target: label
"""


def write_task(folder: Path) -> Path:
    """The folder of a task with two questions."""
    (folder / "tasks").mkdir()
    lines = [{"question": f"which colour? {n}", "label": n} for n in (0, 1)]
    (folder / "two.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "tasks" / "two.yaml").write_text(TWO_COLOURS % (folder / "two.jsonl"))
    return folder / "tasks"
