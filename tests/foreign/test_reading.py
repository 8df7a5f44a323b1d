"""JSON, YAML and Parquet of others: whole values or one line saying what is wrong, in no time."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pa_harness.foreign.parquet import ParquetFile
from pa_harness.foreign.reading import check_yaml, parse_json, parse_yaml
from pa_harness.storage import as_yaml, in_yaml

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
LEAVES = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False)
VALUES = st.recursive(
    LEAVES | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20
)


@given(VALUES)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


def test_what_lm_eval_writes_for_no_number_is_read() -> None:
    found = parse_json('{"a": NaN, "b": Infinity}')
    assert math.isnan(found["a"])
    assert found["b"] == math.inf


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("1e999", "the number 1e999, which no float holds"),
        ("[-1e400]", "which no float holds"),
        ("9" * 400, "a number of 400 digits"),
        ("9" * 5000, "a number of 5000 digits"),
        ('{"x": [{"acc": 1, "n": 2, "acc": 3}]}', "the key 'acc' stands twice in one object"),
        (r'{"a": "\ud800"}', r"holds '\\ud800', which is half of a character"),
        (r'{"\udc00b": 1}', "half of a character"),
        ('{"a": 1', "line 1"),
        ("", "Expecting value"),
        (b'{"a": "\xff"}', "invalid start byte"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_no_honest_json_is_like_that(text: str, told: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=told) as error:
        parse_json(text)
    assert "\n" not in str(error.value)
    assert time.monotonic() - began < 2


def test_a_character_of_two_halves_is_one() -> None:
    assert parse_json(r'"\ud83d\ude00"') == "😀"


@given(VALUES)
def test_yaml_is_read_as_it_was_written(value: Any) -> None:
    assert parse_yaml(as_yaml(value)) == value
    assert parse_yaml(in_yaml(value)) == value
    assert "\n" not in in_yaml(value)


def bomb(levels: int) -> str:
    lines = ["x0: &x0 [y, y, y, y, y, y, y, y, y]"]
    lines += [f"x{n + 1}: &x{n + 1} [{', '.join([f'*x{n}'] * 9)}]" for n in range(levels)]
    return "\n".join(lines)


def merges(levels: int) -> str:
    lines = ["m0: &m0 {a: 1, b: 2}"]
    lines += [f"m{n + 1}: &m{n + 1} {{<<: [{', '.join([f'*m{n}'] * 9)}]}}" for n in range(levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (bomb(8), "line 4: aliases .* multiply"),
        ("a: &a [*a]", "line 1: aliases .* contain themselves"),
        ("a: &a {b: {c: *a}}", "contain themselves"),
        ("? &k [*k]\n: 1", "contain themselves"),
        ("[" * 100_000, "line 1: nested deeper than 64 levels"),
        ("\n".join(" " * n + "a:" for n in range(200)), "line 6[56]: nested deeper"),
        ("- " * 500 + "a", "nested deeper"),
        ("doc_to_text: a\nx: 1\ndoc_to_text: b", "line 3: the key 'doc_to_text' .* line 1"),
        ("{a: 1, b: 2, a: 3}", "the key 'a' stands here a second time"),
        ("x:\n  - a: 1\n    a: 2", "line 3: the key 'a'"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: could not determine a constructor"),
        ("a: 2001-99-99", "month must be"),
        (f"a: {'9' * 5000}", "line 1: a number of 5000 signs"),
        (f"a:\n- 1{':59' * 100_000}", "line 2: a number of 300001 signs"),
        (f"a: 0x{'f' * 400}", "a number of 402 signs"),
        (f"a: 0.{'0' * 400}1", "a number of 403 signs"),
        (merges(7), "line 5: aliases .* multiply"),
        ("a: b: c", "line 1: mapping values are not allowed"),
        ("a: \x07", "control characters"),
    ],
    ids=lambda value: str(value)[:16],
)
def test_no_honest_yaml_is_like_that(text: str, told: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=told) as error:
        parse_yaml(text)
    assert "\n" not in str(error.value)
    assert time.monotonic() - began < 2


def test_aliases_are_allowed_and_so_are_tags_that_are_only_checked() -> None:
    assert parse_yaml("a: &one {b: 1}\nc: *one\nd:\n  <<: *one\n  e: 2")["d"] == {"b": 1, "e": 2}
    check_yaml("process_docs: !function utils.f")


def test_parquet_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = pa.table({"a": np.arange(1000), "t": ["x", "y"] * 500, "l": [[1, 2], []] * 500})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=300)
    assert ParquetFile(tmp_path / "t.parquet").table().equals(table)
    assert ParquetFile(tmp_path / "t.parquet").table([1, 3]).num_rows == 400


def test_a_few_kilobytes_do_not_become_gigabytes(tmp_path: Path) -> None:
    """One number many times, and one long text many times."""
    zeros = pa.table({"a": np.zeros(50_000_000, dtype=np.int8)})
    pq.write_table(zeros, tmp_path / "zeros.parquet")
    codes = np.zeros(100_000, dtype=np.int32)
    long = pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"t": long}), tmp_path / "long.parquet", store_schema=False)
    for name in ("zeros", "long"):
        before = pa.total_allocated_bytes()
        with pytest.raises(ValueError, match="it stands for more than 16 MiB, many times its own"):
            ParquetFile(tmp_path / f"{name}.parquet", 20, 1 << 24).table()
        assert pa.total_allocated_bytes() - before < 1 << 28


@pytest.mark.parametrize("cut", [0, 4, 100, -1, -8, -20])
def test_a_broken_file_is_one_line(tmp_path: Path, cut: int) -> None:
    pq.write_table(pa.table({"a": np.arange(1000)}), tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[:cut])
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        ParquetFile(tmp_path / "cut.parquet").table()
