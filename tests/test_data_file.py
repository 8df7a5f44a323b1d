"""Local data files: what is read, and the one message for each kind of malformed file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import datasets
import pytest

from pa_harness.data_file import is_empty, read_data_file
from pa_harness.errors import DataFileError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"question": 'a, "b"?', "answer": "NA"}, {"question": "c\u2028d", "answer": "x"}]
FORMS = {
    "lines.jsonl": '{"question": "a, \\"b\\"?", "answer": "NA"}\n\n'
    '{"question": "c\u2028d", "answer": "x"}\n',
    "list.json": '[{"question": "a, \\"b\\"?", "answer": "NA"},\n'
    '{"question": "c\u2028d", "answer": "x"}]',
    "table.csv": '\ufeffquestion,answer\r\n"a, ""b""?",NA\r\nc\u2028d,x\r\n',
    "table.tsv": 'question\tanswer\n"a, ""b""?"\tNA\nc\u2028d\tx\n',
}
MALFORMED = {
    "empty": ("a.jsonl", b"", r"a\.jsonl is empty"),
    "blank lines": ("a.jsonl", b"\n\n", r"a\.jsonl is empty"),
    "no rows": ("a.csv", b"question,answer\n", r"a\.csv holds no rows"),
    "an empty list": ("a.json", b"[]", r"a\.json holds no rows"),
    "half a line": ("a.jsonl", b'{"a": 1}\n{"a": ', r"line 2: not JSON: Expecting value"),
    "a list of texts": ("a.json", b'["x"]', r"item 1: expected an object .* got str 'x'"),
    "half a list": ("a.json", b'[{"a": 1},\n{"a"]', r"line 2: not JSON: Expecting ':' delim"),
    "an object over lines": ("a.json", b'{\n"a": 1}', r"line 1: not JSON.*, or a list of obj"),
    "a number": ("a.jsonl", b'{"a": 1}\n7\n', r"line 2: expected an object .* got int '7'"),
    "another code": ("a.csv", b"q,a\nx,y\n\xe9,z\n", r"line 3: not UTF-8 \(byte 0xe9\)"),
    "a cell too many": ("a.csv", b"q,a\nx,y\nx,y,z\n", r"line 3: 3 cells, but the header has 2"),
    "a cell too few": ("a.tsv", b"q\ta\nx\n", r"line 2: 1 cells, but the header has 2: q, a"),
    "an open quote": ("a.csv", b'q,a\n"x,y\n', r"line 2: unexpected end of data.*Check the quo"),
    "repeated names": ("a.csv", b"q,q\nx,y\n", r"line 1: the header .* empty or repeated names"),
    "another kind": ("a.xlsx", b"", r"a\.xlsx is none of \.jsonl, .*Save it as one of these"),
    "no parquet": ("a.parquet", b"no", r"a\.parquet is not a readable parquet file"),
}


@pytest.mark.parametrize("name", FORMS)
def test_reads_what_datasets_reads(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FORMS[name].encode())
    data = read_data_file(tmp_path / name)
    assert data.rows == ROWS
    files: dict[str, Any] = {"data_files": {"test": str(data.path)}, **data.options}
    cache = str(tmp_path / "cache")
    theirs = datasets.load_dataset(data.loader, cache_dir=cache, **files)
    assert list(theirs["test"]) == ROWS


def test_parquet(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).to_parquet(str(tmp_path / "a.parquet"))
    data = read_data_file(tmp_path / "a.parquet")
    assert (data.rows, data.places) == (ROWS, ["row 1", "row 2"])


def test_places_are_lines_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('q,a\n\n"two\nlines",y\nx,\n')
    data = read_data_file(tmp_path / "a.csv")
    assert data.places == ["line 4", "line 5"]
    with pytest.raises(DataFileError, match=r"'a' is missing or empty in 1 of 2 rows: line 5\. "):
        data.check_filled("a")


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed(what: str, tmp_path: Path) -> None:
    name, content, message = MALFORMED[what]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataFileError) as caught:
        read_data_file(tmp_path / name)
    assert re.search(message, str(caught.value))
    assert str(tmp_path / name) in str(caught.value)


def test_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataFileError, match=r"There is no file .*/a\.csv \(looked for from "):
        read_data_file("a.csv")


def test_unknown_column(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"question": 1}\n{"answer": 1}')
    with pytest.raises(DataFileError) as caught:
        read_data_file(tmp_path / "a.jsonl").check_column("qestion", "--question")
    text = str(caught.value)
    assert "no column 'qestion' (--question). Did you mean question?" in text
    assert text.endswith("Its columns: question, answer.")


@pytest.mark.parametrize("value", [None, "", " \n", [], ["a", ""], ["a", None]])
def test_empty_values(value: object) -> None:
    assert is_empty(value)


@pytest.mark.parametrize("value", [0, False, 0.0, "0", ["a"], {}])
def test_values_that_are_not_empty(value: object) -> None:
    assert not is_empty(value)
