"""Tables of records, in all three forms, and what is none."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from pa_harness.errors import RunError
from pa_harness.runs.judgements import Judgement
from pa_harness.runs.scores import Score
from pa_harness.runs.tables import FORMATS, as_csv, read_table, write_table

if TYPE_CHECKING:
    from pathlib import Path

SCORES = [
    Score("a,b", "acc", "none", 0.1, n=3, main=True, base='a "quoted"\nname'),
    Score("λ", "f1", "strict", math.nan, lam=0.30000000000000004, higher_is_better=False),
]
JUDGEMENTS = [
    Judgement(
        *(0.5, "made", "all", 805, 804, 803, 22.569903, 1.2, 22.0, math.nan, math.nan, "why"),
        *(1500.0, 400.0, 1700.0, "not comparable: a; b"),
        n_paired=800,
    )
]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(("kind", "rows"), [(Score, SCORES), (Judgement, JUDGEMENTS), (Score, [])])
def test_a_table_gives_back_what_was_written(
    kind: Any, rows: list[Any], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"table.{suffix}"
    write_table(kind, rows, path)
    again = read_table(kind, path, "")
    assert list(map(repr, again)) == list(map(repr, rows))
    first = path.read_bytes()
    write_table(kind, again, path)
    assert path.read_bytes() == first
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_other_programs_find_types_and_undefined_numbers(tmp_path: Path) -> None:
    write_table(Score, SCORES, tmp_path / "table.parquet")
    schema = pq.read_schema(tmp_path / "table.parquet")
    kinds = {"task": "string", "value": "double", "n": "int64", "main": "bool"}
    assert {name: str(schema.field(name).type) for name in kinds} == kinds
    write_table(Score, SCORES, tmp_path / "table.jsonl")
    last = json.loads((tmp_path / "table.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert (last["value"], last["lam"], last["main"]) == (None, 0.30000000000000004, False)
    assert as_csv(Score, SCORES).splitlines()[-1].startswith("λ,f1,strict,,,0,0,0.3000000000")


def test_what_is_no_table(tmp_path: Path) -> None:
    for kind in (Score, Judgement):
        what = f"a table of {kind.__name__.lower()}s"
        message = rf"{what} is written as one of \.parquet, \.csv, \.jsonl, not 'xlsx'"
        with pytest.raises(RunError, match=message):
            write_table(kind, [], tmp_path / "table.xlsx")
        for name, content in (("a.parquet", "x"), ("a.jsonl", "{}\n"), ("a.csv", "a\n1\n")):
            (tmp_path / name).write_text(content)
            with pytest.raises(RunError, match=rf"{name} is not {what} \(.*\)\. Make one\."):
                read_table(kind, tmp_path / name, "Make one.")
