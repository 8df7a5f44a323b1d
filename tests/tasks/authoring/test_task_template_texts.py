"""`pa-harness new-task` on mistakes: one message each, exit code 2, no file."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_tasks import ANSWERS, Row, at_a_terminal, rows_of, task_of, write_data

from pa_harness.cli.main import main

CF = ["--scoring", "cf", "--num_fewshot", "1"]
GEN = ["--scoring", "gen", "--num_fewshot", "1"]
TWO = [{"question": "q1", "answer": "x"}, {"question": "q2", "answer": "y"}]
TEXTS = rows_of(ANSWERS["text"])
MISTAKES: dict[str, tuple[list[Row], list[str], str]] = {
    "no scoring": (TEXTS, [], r"TaskError: Scoring, one of cf, mcf, gen\? Pass --scoring"),
    "no question": ([{"q": 1, "answer": 2}], GEN, r"Column of the question\? Pass --question\. "),
    "no options": (TWO, CF, r"Column of the options .*\? Pass --choices\. The columns of .*: que"),
    "no answer": ([{"question": "x"}], GEN, r"Column of the answer\? Pass --answer\."),
    "column": (TWO, [*GEN, "--answer", "anwser"], r"no column 'anwser' .*Did you mean answer"),
    "context": (TWO, [*GEN, "--context", "page"], r"no column 'page' \(--context\)\. Its columns"),
    "cluster": (TWO, [*GEN, "--cluster", "page"], r"no column 'page' \(--cluster\)\. Its columns"),
    "hole in clusters": (
        [{**TWO[0], "page": 1}, TWO[1]],
        [*GEN, "--cluster", "page"],
        r"'page' is missing or empty in 1 of 2 rows: line 2",
    ),
    "hole": (
        [*TWO, {"question": "q3"}],
        GEN,
        r"'answer' is missing or empty in 1 of 3 rows: line 3",
    ),
    "both": (
        TEXTS,
        [*CF, "--choices", "choices", "--labels", "a,b"],
        r"--choices and --labels exc",
    ),
    "no use": (TEXTS, [*GEN, "--labels", "a,b"], r"a gen task shows no options"),
    "shots": (TWO, ["--scoring", "gen"], r"has 2 rows: 5 shots leave nothing to evaluate"),
    "negative": (TWO, [*GEN[:2], "--num_fewshot", "-1"], r"--num_fewshot -1: expected 0 or more"),
    "name": (TWO, [*GEN, "--name", "a,b"], r"--name 'a,b': expected letters, digits"),
    "ending": (TWO, [*GEN, "--output", "a.yml"], r"lm-eval finds tasks by the ending \.yaml only"),
    "folder": (TWO, [*GEN, "--output", "no/a.yaml"], r"There is no folder .*/no\. Make it"),
    "repeat": (
        [*TWO, {"question": " Q1", "answer": "z"}],
        GEN,
        r"line 3 would be evaluated but re",
    ),
    "line break": (
        [*TWO, {"question": "q3", "answer": "x\ny"}],
        GEN,
        r"line 3: 'answer' has a line break, and generation ends at the first one",
    ),
    "no list": (
        [{**row, "choices": "a or b"} for row in TWO],
        CF,
        r"line 1: 'choices' \(--choices\)",
    ),
    "one option": (
        [{**row, "choices": ["x"]} for row in TWO],
        CF,
        r"line 1: the options are \['x'",
    ),
    "same options": ([{**r, "choices": ["x", "x"]} for r in TWO], CF, r"2 to 26 different ones"),
    "no option": (
        [*TEXTS[:4], {**TEXTS[4], "answer": "cat"}],
        CF,
        r"line 5: the answer 'cat' is none of the options \['7', 'fox'\]\. Expected the text of an",
    ),
    "two readings": (
        [{"question": f"q{n}", "choices": list("xyz"), "answer": 1 + n % 2} for n in range(4)],
        CF,
        r"'answer' can be read in two ways\. line 1 has 1: as a number, 0 for the first option, "
        r"that is 'y'; as a number, 1 for the first option, 'x'\. Say which: --answer_is index0 or",
    ),
    "wrong reading": (
        TEXTS,
        [*CF, "--answer_is", "letter"],
        r"line 1: the answer 'blue' is none of .* Expected a letter, A for the first option, the s",
    ),
    "odd name": (
        [{"the question": "x", "answer": "y"}] * 2,
        [*GEN, "--question", "the question"],
        r"the column name 'the question' \(--question\) cannot stand in a template\. Rename it",
    ),
}


def refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-task", *arguments]) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes(what: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, options, message = MISTAKES[what]
    write_data(folder / "q.jsonl", rows)
    refused(["q.jsonl", *options], message, capsys)
    assert not list(folder.glob("*.yaml"))


NO_TEXTS: dict[str, tuple[dict[str, Any], str]] = {
    "bytes": (
        {"question": [b"q1", b"q2"]},
        r"row 1: 'question' \(--question\) holds \"b'q1'\", of",
    ),
    "bytes later": ({"answer": [b"x", b"y"]}, r"'answer' \(--answer\) .*of the kind bytes\. Expec"),
    "dates": ({"question": [date(2024, 1, 1), date(2024, 1, 2)]}, "'2024-01-01', of the kind date"),
    "times": ({"answer": [timedelta(1), timedelta(2)]}, "of the kind timedelta"),
    "decimals": ({"answer": [Decimal("1.50"), Decimal("2.50")]}, "of the kind Decimal"),
    "structs": ({"question": [{"en": "q1"}, {"en": "q2"}]}, "of the kind dict. .*save the column"),
    "a list as question": ({"question": [["q1"], ["q2"]]}, "of the kind list"),
    "a list in a list": ({"answer": [[["x"]], [["y"]]]}, r"holds \"\['x'\]\", of the kind list"),
    "structs in a list": ({"answer": [[{"en": "x"}], [{"en": "y"}]]}, "or a list of such"),
}


@pytest.mark.parametrize("what", NO_TEXTS)
def test_columns_of_no_texts(what: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns, message = NO_TEXTS[what]
    table = pa.table({"question": ["q1", "q2"], "answer": ["x", "y"], **columns})
    pq.write_table(table, folder / "q.parquet")
    refused(["q.parquet", *GEN], message, capsys)
    assert not list(folder.glob("*.yaml"))


def test_options_of_no_texts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list of texts is one column's options; as one of several options it is none."""
    rows = [{**row, "choices": [["x"], ["y"]]} for row in TWO]
    write_data(folder / "q.jsonl", rows)
    refused(["q.jsonl", *CF, "--num_fewshot", "1"], r"'choices' .* of the kind list", capsys)
    write_data(folder / "q.jsonl", [{**row, "a": ["x"], "b": "y"} for row in TWO])
    command = ["q.jsonl", *CF, "--choices", "a,b", "--num_fewshot", "1"]
    refused(command, r"'a' \(--choices\) .* of the kind list", capsys)


def test_what_does_not_exist_is_asked_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data(folder / "q.jsonl", [{"text": "q", "key": "a"}, {"text": "r", "key": "b"}])
    asked = at_a_terminal(monkeypatch, "letters", "gen", "nope", "text", "key")
    assert main(["new-task", "q.jsonl", "--num_fewshot", "1"]) == 0
    assert asked[1].startswith("letters is none of cf, mcf, gen. Scoring")
    assert asked[2] == "Column of the question [text, key]: "
    assert asked[3].startswith("nope is none of text, key. ")


def test_an_interrupted_question_ends_quietly(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_data(folder / "q.jsonl", TEXTS)
    at_a_terminal(monkeypatch, KeyboardInterrupt())
    with pytest.raises(SystemExit, match="130"):
        main(["new-task", "q.jsonl"])


def test_an_output_that_cannot_be_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(folder / "q.jsonl", TWO)
    (folder / "taken.yaml").mkdir()
    command = ["q.jsonl", *GEN, "--output", "taken.yaml", "--force"]
    refused(command, r"TaskError: .*taken\.yaml cannot be written: Is a directory", capsys)
    assert not list(folder.glob(".*")), "nothing half-written is left"
    refused(["q.jsonl", *GEN, "--name", "n" * 300], r"cannot be written: File name too", capsys)


def test_a_long_cell(folder: Path) -> None:
    rows = [{"question": "q" * 200_000, "answer": "x"}, {"question": "r", "answer": "y"}]
    write_data(folder / "q.csv", rows)
    assert main(["new-task", "q.csv", *GEN]) == 0


def test_nan_is_no_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "q.jsonl").write_text('{"question": "q", "answer": NaN}\n' * 2)
    refused(["q.jsonl", *GEN], r"'answer' is missing or empty in 2 of 2 rows", capsys)


def test_a_terminal_that_is_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(folder / "q.jsonl", TEXTS)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    refused(["q.jsonl"], r"Scoring, one of .*\? Pass --scoring", capsys)


def test_two_readings_settled(folder: Path) -> None:
    write_data(folder / "q.jsonl", MISTAKES["two readings"][0])
    assert main(["new-task", "q.jsonl", *CF, "--answer_is", "index1"]) == 0
    task = task_of(folder / "q_cf.yaml")
    assert [task.doc_to_target(document) for document in task.task_docs] == [1, 0, 1]


def test_a_malformed_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "q.jsonl").write_text('{"question": "x", "answer": "y"}\n{"question": ')
    refused(["q.jsonl", *GEN], r"DataFileError: .*q\.jsonl, line 2: not JSON", capsys)


def test_a_path_that_is_a_pattern(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(folder / "q[1].jsonl", TWO)
    refused(["q[1].jsonl", *GEN], r"lm-eval takes '\*', '\?' and '\[' for patterns", capsys)


def test_never_overwrites_unasked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(folder / "q.jsonl", TWO)
    (folder / "q_gen.yaml").write_text("mine")
    refused(["q.jsonl", *GEN], r"q_gen\.yaml exists\. Pass --force to overwrite it", capsys)
    assert (folder / "q_gen.yaml").read_text() == "mine"


@pytest.mark.parametrize("values", [["007", "8"], ["1", "2.5"], ["1e3", "2"], ["true", "FALSE"]])
def test_values_a_csv_reader_would_change(
    values: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(folder / "q.csv", [{"question": f"q{v}", "answer": v} for v in values])
    refused(["q.csv", *GEN], r"lm-eval reads the CSV column 'answer' as numbers or truth", capsys)


@pytest.mark.parametrize("values", [["7", "8"], ["1.5", "2.5"], ["True", "False"], ["1", "x1"]])
def test_values_a_csv_reader_keeps(values: list[str], folder: Path) -> None:
    write_data(folder / "q.csv", [{"question": f"q{v}", "answer": v} for v in values])
    main(["new-task", "q.csv", *GEN])
    task = task_of(folder / "q_gen.yaml")
    task.build_all_requests()
    assert task.instances[0].args[0] == f"Question: q{values[0]}\nAnswer: {values[0]}\n\n" + (
        f"Question: q{values[1]}\nAnswer:"
    )
    assert task.doc_to_target(task.task_docs[0]) == values[1]


@pytest.mark.parametrize(
    ("name", "rows", "count", "message"),
    [
        ("s.csv", TWO, "1", r"s\.csv and .*q\.jsonl are of different kinds; lm-eval reads both by"),
        ("s.jsonl", [{"question": "q", "a": 1}], "1", r"different columns \(a, answer in one only"),
        (
            "s.jsonl",
            [{"question": "q", "answer": "a"}],
            "2",
            r"--num_fewshot 2: .*s\.jsonl has 1 r",
        ),
        ("s.jsonl", TWO, "2", r"line 1, line 2 would be evaluated but repeat a shot"),
    ],
)
def test_files_of_shots_that_do_not_fit(
    name: str,
    rows: list[Row],
    count: str,
    message: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_data(folder / "q.jsonl", TWO)
    write_data(folder / name, rows)
    options = ["--scoring", "gen", "--fewshot", name, "--num_fewshot", count]
    refused(["q.jsonl", *options], message, capsys)
