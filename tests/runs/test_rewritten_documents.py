"""documents.parquet after other programs: the same numbers, or one message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pa_harness.errors import RunError
from pa_harness.runs.documents import Documents, write_documents
from pa_harness.runs.samples import DocumentValues

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = "task_" + 100 * "long_"
TASKS = ("b_task", "a task", f"{LONG}1", f"{LONG}2")
LAMS = (0.0, 0.1, 1.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    units = []
    for lam in LAMS:
        for number, task in enumerate(TASKS):
            ids = list(range(0, 10 + number))
            values = {
                "acc,none": random.integers(0, 2, len(ids)).astype(float).tolist(),
                "nll,none": random.normal(size=len(ids)).tolist(),
            }
            units.append((lam, task, DocumentValues(ids, values)))
    write_documents(units, tmp_path / "documents.parquet")
    return tmp_path / "documents.parquet"


def numbers(file: Path) -> dict[tuple[str, str], tuple[bytes, bytes, bytes]]:
    table = Documents(file)
    return {
        (task, metric): (each.lams.tobytes(), each.ids.tobytes(), each.values.tobytes())
        for task in table.tasks
        for metric, each in table.paired(task).items()
    }


def pandas_whole(file: Path) -> None:
    pd.read_parquet(file).to_parquet(file)


def pandas_sorted(file: Path) -> None:
    table = pd.read_parquet(file).sort_values(["document", "value", "task"])
    table.to_parquet(file, row_group_size=7)


def pandas_texts(file: Path) -> None:
    table = pd.read_parquet(file)
    table.astype({"task": str, "metric": str}).to_parquet(file, index=True)


def small_groups(file: Path) -> None:
    pq.write_table(pq.read_table(file), file, row_group_size=3, write_statistics=False)


def reversed_rows(file: Path) -> None:
    table = pq.read_table(file)
    pq.write_table(table.take(np.arange(table.num_rows)[::-1]), file)


def foreign_column(file: Path) -> None:
    table = pq.read_table(file)
    table = table.add_column(0, "note", pa.array(["x"] * table.num_rows))
    pq.write_table(table.append_column("more", pa.nulls(table.num_rows)), file)


def large_texts(file: Path) -> None:
    table = pq.read_table(file)
    texts = {
        name: table.column(name).cast("string").cast(pa.large_string())
        for name in ("task", "metric")
    }
    pq.write_table(
        pa.table({name: texts.get(name, table.column(name)) for name in table.schema.names}), file
    )


def polars(file: Path) -> None:
    pl = pytest.importorskip("polars")
    pl.read_parquet(file).sort("value").write_parquet(file)


WRITERS = [pandas_whole, pandas_sorted, pandas_texts, small_groups, reversed_rows, foreign_column]


@pytest.mark.parametrize("rewrite", [*WRITERS, large_texts, polars])
def test_another_program_changes_no_number(rewrite: Callable[[Path], None], file: Path) -> None:
    before = numbers(file)
    assert len(before) == 2 * len(TASKS)
    rewrite(file)
    assert numbers(file) == before


def doubled(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.tail(1)])


SPOILT = {
    "doubled": (doubled, r"has more than one nll,none of .* for the same λ and document"),
    "no column": (lambda table: table.drop(columns="task"), r"it has no column task, or several"),
    "text": (lambda t: t.assign(value=t["value"].astype(str)), r"value holds .*, not a number"),
    "float": (
        lambda t: t.assign(document=t["document"] + 0.5),
        r"document holds double, not a whole",
    ),
}


@pytest.mark.parametrize("which", SPOILT)
def test_what_is_no_such_table_any_more_is_refused(which: str, file: Path) -> None:
    spoil, message = SPOILT[which]
    spoil(pd.read_parquet(file)).to_parquet(file)
    with pytest.raises(RunError, match=message):
        numbers(file)
