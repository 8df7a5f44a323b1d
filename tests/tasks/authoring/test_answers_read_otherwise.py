"""Answers that lm-eval reads as something else than they say: found, and never written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from own_tasks import GENERATION, LISTED, OWN, assert_flaw, findings, task_of, write, write_data

from pa_harness.cli.main import main

NUMBERS = [
    {"question": f"q{n}", "options": ["1", "2", "3", "0"], "label": str(n % 4)} for n in range(12)
]
BY_NUMBER = {
    **LISTED,
    "num_fewshot": 0,
    "metadata": LISTED["metadata"] | {"random_baseline": 0.25},
}
LISTS = [{"question": f"sort {n}", "answer": f"[{n}, {n + 1}]"} for n in range(12)]
SEVERAL = [{"question": f"q{n}", "options": ["a", "b", "c"], "label": [0, 2]} for n in range(12)]
GENERATED = GENERATION | {"doc_to_target": "{{answer}}", "num_fewshot": 0}
FLAWS: dict[str, Any] = {
    "digits as text": (
        BY_NUMBER | {"doc_to_target": "{{label}}"},
        NUMBERS,
        NUMBERS,
        "error",
        "evaluated documents that have a gold answer that lm-eval takes for an option's n.*'0'",
    ),
    "digits, trimmed": (
        BY_NUMBER | {"doc_to_target": "{{label | trim}}"},
        [{**row, "label": f" {row['label']}"} for row in NUMBERS],
        NUMBERS,
        "error",
        "evaluated documents that have a gold answer that lm-eval takes for an option's number",
    ),
    "some digits": (
        BY_NUMBER | {"doc_to_target": "{{label}}"},
        [
            {**row, "options": ["0", "1", "x", "2"], "label": "12"[n % 2]}
            for n, row in enumerate(NUMBERS)
        ],
        NUMBERS,
        "error",
        r"lm-eval takes for an option's number, and that is another's text: 6 of 12 \(1, 3",
    ),
    "numbers": (
        GENERATED,
        LISTS,
        LISTS,
        "error",
        r"evaluated documents that have an answer that lm-eval takes for a Python list: 12 of 12",
    ),
    "texts": (
        GENERATED | {"doc_to_target": "{{answer | trim}}"},
        [{**row, "answer": "['a', 'b'] "} for row in LISTS],
        LISTS,
        "error",
        r"evaluated documents that have an answer that lm-eval takes for a Python list",
    ),
    "one of them": (
        GENERATED,
        [*LISTS[:3], *({"question": f"x{n}", "answer": f"a{n}"} for n in range(9))],
        LISTS,
        "error",
        r"evaluated documents that have an answer that lm-eval .* list: 3 of 12 \(0, 1, 2\)",
    ),
    "several right, shots": (
        BY_NUMBER | {"num_fewshot": 2},
        SEVERAL,
        [{**row, "question": f"s{row['question']}"} for row in SEVERAL],
        "error",
        r"the shots have several right options \(the first: few-shot document 0\)",
    ),
    "several right, baseline": (
        BY_NUMBER,
        SEVERAL,
        SEVERAL,
        "error",
        "metadata says random_baseline: 0.25, guessing among the options gives 0.6667",
    ),
    "f1 of three": (
        LISTED | {"metric_list": [{"metric": "f1", "aggregation": "f1", "higher_is_better": True}]},
        OWN,
        None,
        "error",
        "the metric f1 is that of two options, of which one is 1; there are up to 3",
    ),
}


@pytest.mark.parametrize("what", FLAWS)
def test_it_is_found(what: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_flaw(FLAWS[what], capsys)


SOUND: dict[str, Any] = {
    "the column itself": (BY_NUMBER, NUMBERS),
    "an index by filter": (BY_NUMBER | {"doc_to_target": "{{label | int}}"}, NUMBERS),
    "an index of numbers": (
        BY_NUMBER | {"doc_to_target": "{{label}}"},
        [{**row, "label": int(row["label"])} for row in NUMBERS],
    ),
    "an index by the text": (BY_NUMBER | {"doc_to_target": "{{options.index(label)}}"}, NUMBERS),
    "a letter": (
        BY_NUMBER | {"doc_to_target": "{{'ABCD'.index(label)}}"},
        [{**row, "label": "ABCD"[n % 4]} for n, row in enumerate(NUMBERS)],
    ),
    "a list by name": (GENERATED | {"doc_to_target": "answer"}, LISTS),
    "lists that are lists": (GENERATED, [{**row, "answer": ["a", "b"]} for row in LISTS]),
    "brackets that are no list": (
        GENERATED,
        [{**row, "answer": f"[{n}]x"} for n, row in enumerate(LISTS)],
    ),
    "f1 of two": (
        {"metric_list": [{"metric": "f1", "aggregation": "f1", "higher_is_better": True}]}
        | {"metadata": LISTED["metadata"] | {"random_baseline": 0.5, "metric": "f1,none"}},
        None,
    ),
}


@pytest.mark.parametrize("what", SOUND)
def test_it_is_not_found_where_it_is_not(what: str, folder: Path) -> None:
    changes, rows = SOUND[what]
    shots = rows and [{**row, "question": f"s {row['question']}"} for row in rows[:3]]
    write(changes, rows, shots)
    assert [f.what for f in findings() if f.level == "error"] == []


@pytest.mark.parametrize("name", ["q.jsonl", "q.csv", "q.tsv"])
@pytest.mark.parametrize(
    "answers", [["[1, 2]", "[3]", "[4]"], ["['a']", "x", "5"], ["[", "[a]", "[]"]], ids=str
)
def test_new_task_leaves_lists_of_text_alone(name: str, answers: list[str], folder: Path) -> None:
    rows = [{"question": f"q{n}", "answer": answer} for n, answer in enumerate(answers)]
    file = write_data(Path(name), rows)
    assert main(["new-task", str(file), "--scoring", "gen", "--num_fewshot", "0"]) == 0
    task = task_of(Path("q_gen.yaml"))
    assert [task.doc_to_target(row) for row in task.test_docs()] == answers
    assert main(["check-task", "q_gen.yaml"]) == 0


def test_new_task_refuses_blanks_around_such(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": f"q{n}", "answer": f"{' ' * (n == 2)}[{n}]"} for n in range(3)]
    Path("q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert main(["new-task", "q.jsonl", "--scoring", "gen", "--num_fewshot", "0"]) == 2
    assert "line 3: 'answer' is ' [2]'" in capsys.readouterr().err


@pytest.mark.parametrize("sign", [";", "|", "\t"])
@pytest.mark.parametrize(
    "template", ["{{question}}", "question", "{{question | upper}} {{answer}}"]
)
def test_a_table_of_another_delimiter(
    sign: str, template: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"q{n}{sign}a{n}" for n in range(5)]
    Path("q.csv").write_text("\n".join([f"question{sign}answer", *lines]))
    assert main(["new-task", "q.csv", "--scoring", "gen"]) == 2
    assert f"has {sign!r}. Save it with ','" in capsys.readouterr().err
    data = {"dataset_path": "csv", "dataset_kwargs": {"data_files": {"test": "q.csv"}}}
    write(
        GENERATED
        | data
        | {"doc_to_text": template, "doc_to_target": "answer", "fewshot_split": None}
    )
    assert main(["check-task", "odd.yaml"]) == 2
    assert f"has {sign!r}. Save it with ','" in capsys.readouterr().err
    data["dataset_kwargs"]["sep"] = sign  # type: ignore[index]
    write(GENERATED | data | {"doc_to_target": "answer", "fewshot_split": None})
    assert main(["check-task", "odd.yaml"]) == 0
