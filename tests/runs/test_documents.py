"""The table of documents: clusters go in and come out, and may be unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from pa_harness.runs.documents import Documents, write_documents
from pa_harness.runs.samples import DocumentValues

if TYPE_CHECKING:
    from pathlib import Path


def test_every_row_has_its_documents_cluster(tmp_path: Path) -> None:
    values = {"acc,none": [1.0, 0.0, 1.0], "hit,options": [0.0, 0.0, 1.0]}
    units = [
        (lam, task, DocumentValues([4, 7, 2], values, names))
        for lam in (0.0, 1.0)
        for task, names in (("a", ["p", "q", "p"]), ("b", []))
    ]
    write_documents(units, tmp_path / "documents.parquet")
    table = pq.read_table(tmp_path / "documents.parquet")
    assert str(table.schema.field("cluster").type).startswith("dictionary<values=string")
    rows = [row for row in table.to_pylist() if row["task"] == "a"]
    assert {(row["document"], row["cluster"]) for row in rows} == {(4, "p"), (7, "q"), (2, "p")}
    assert len(rows) == 12
    found = Documents(tmp_path / "documents.parquet")
    assert found.clusters("a") == {2: "p", 4: "p", 7: "q"}
    assert found.clusters("b") == {2: "b 2", 4: "b 4", 7: "b 7"}


def test_a_table_without_the_column_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "documents.parquet"
    write_documents([(0.0, "a", DocumentValues([0, 1], {"acc,none": [1.0, 0.0]}))], path)
    pq.write_table(pq.read_table(path).drop_columns("cluster"), path)
    assert Documents(path).clusters("a") == {0: "a 0", 1: "a 1"}
