"""Tables of records: a row for each, a column for each field; as parquet, CSV or JSON lines.

A record is a dataclass of numbers, truth values and texts; which one is the caller's to say. NaN is
an empty cell in CSV and null in JSON lines.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import astuple, fields
from typing import TYPE_CHECKING, Any, TypeVar

from pa_harness.errors import RunError, first_line
from pa_harness.foreign.parquet import AS_ROWS, ParquetFile
from pa_harness.foreign.reading import MALFORMED, parse_json
from pa_harness.foreign.showing import cell, uncelled
from pa_harness.storage import plain, write_text, write_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)

FORMATS = ("parquet", "csv", "jsonl")


def write_table(kind: type[Record], rows: Sequence[Record], path: Path) -> None:
    """Write the records, atomically; the suffix chooses one of `FORMATS`.

    Raises:
        RunError: another suffix.
    """
    form = path.suffix.removeprefix(".")
    if form == "parquet":
        write_with(path, lambda temporary: _write_parquet(kind, rows, temporary))
    elif form == "jsonl":
        lines = [json.dumps(plain(row), ensure_ascii=False) for row in rows]
        write_text(path, "".join(f"{line}\n" for line in lines))
    elif form == "csv":
        write_text(path, as_csv(kind, rows))
    else:
        raise RunError(
            f"{path}: {_title(kind)} is written as one of .{', .'.join(FORMATS)}, not {form!r}."
        )


def as_csv(kind: type[Record], rows: Sequence[Record]) -> str:
    """The records as CSV text; no text of them is a spreadsheet's formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_types(kind))
    for row in rows:
        writer.writerow(_in_cell(value) for value in astuple(row))
    return buffer.getvalue()


def read_table(kind: type[Record], path: Path, cure: str) -> list[Record]:
    """Read what `write_table` wrote.

    Args:
        kind: of the records.
        path: the suffix says in which form.
        cure: what a user can do where it is no such table.

    Raises:
        RunError: it is none, or not there.
    """
    types = _types(kind)
    try:
        return [
            kind(**{name: _typed(of, row[name]) for name, of in types.items()})
            for row in _rows(path)
        ]
    except (OSError, csv.Error, *MALFORMED) as error:
        raise RunError(
            f"{path} is not {_title(kind)} ({type(error).__name__}: {first_line(error)}). {cure}"
        ) from None


def _in_cell(value: Any) -> Any:
    if isinstance(value, str):
        return cell(value)
    return "" if value != value else value


def _title(kind: type) -> str:
    return f"a table of {kind.__name__.lower()}s"


def _types(kind: type[DataclassInstance]) -> dict[str, str]:
    return {each.name: str(each.type) for each in fields(kind)}


def _typed(of: str, value: Any) -> Any:
    """A cell in the field's own type; csv has texts only, jsonl null for NaN."""
    if of == "float":
        return math.nan if value in (None, "") else float(value)
    if of == "int":
        return int(value)
    if of == "bool":
        return value if isinstance(value, bool) else str(value) == "True"
    return str(value)


def _write_parquet(kind: type[Record], rows: Sequence[Record], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "str": pa.string()}
    schema = pa.schema([(name, columns[of]) for name, of in _types(kind).items()])
    values = {name: [getattr(row, name) for row in rows] for name in schema.names}
    pq.write_table(pa.table(values, schema=schema), path)


def _rows(path: Path) -> Iterable[Mapping[str, Any]]:
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = ParquetFile(path, *AS_ROWS).table().to_pylist()
        return found
    with path.open(newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            return [parse_json(line) for line in file]
        rows = csv.DictReader(file)
        return [{name: uncelled(value) for name, value in row.items()} for row in rows]
