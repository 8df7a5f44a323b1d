"""A local data file as rows: JSON lines, JSON, CSV, TSV or parquet.

lm-eval reads such a file through `datasets`, whose errors name neither line nor column, and which
turns a missing field into the word "None" of a prompt. So the file is read here as well, strictly.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pa_harness.errors import DataFileError, did_you_mean, first_line
from pa_harness.foreign.parquet import AS_ROWS, ParquetFile
from pa_harness.foreign.reading import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]
_DELIMITERS = (";", "\t", "|", ",")  # of tables; a name of a column holds none of them
LOADERS = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class DataFile:
    """The rows of a file, with where each stands.

    Attributes:
        path: absolute.
        rows: column -> value; a JSON field that a row lacks is absent. CSV values are text.
        places: "line 3" or "row 3" of each row, for messages.
    """

    path: Path
    rows: list[Row]
    places: list[str]

    @property
    def loader(self) -> str:
        """The `dataset_path` by which lm-eval reads the file."""
        return LOADERS[self.path.suffix.lower()]

    @property
    def options(self) -> dict[str, Any]:
        """The `dataset_kwargs` the file needs beside `data_files`.

        Without keep_default_na the texts "NA", "None" and "null" of a CSV would be missing values.
        """
        if self.loader != "csv":
            return {}
        tabs = {"sep": "\t"} if self.path.suffix.lower() == ".tsv" else {}
        return {"keep_default_na": False, **tabs}

    @property
    def columns(self) -> list[str]:
        """All columns, in order of appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def check_column(self, name: str, flag: str = "") -> None:
        """Refuse a column that the file has not.

        Raises:
            DataFileError: with the columns there are, and the nearest name.
        """
        if name in self.columns:
            return
        hint = f"{did_you_mean(name, self.columns)} Its columns".lstrip()
        raise DataFileError(
            f"{self.path} has no column {name!r}{f' ({flag})' * bool(flag)}. {hint}: "
            f"{', '.join(self.columns)}."
        )

    def check_filled(self, name: str) -> None:
        """Refuse a column that is absent, null or empty in some row.

        Raises:
            DataFileError: with the places.
        """
        holes = [
            place
            for row, place in zip(self.rows, self.places, strict=True)
            if is_empty(row.get(name))
        ]
        if holes:
            raise DataFileError(
                f"{self.path}: {name!r} is missing or empty in {len(holes)} of {len(self.rows)} "
                f"rows: {places(holes)}. Every row needs it: fill it in, or take the rows out."
            )


def is_empty(value: object) -> bool:
    """Whether a value says nothing: null, NaN, a blank text, an empty list or one with such."""
    if isinstance(value, (list, tuple)):
        return not value or any(is_empty(item) for item in value)
    not_a_number = isinstance(value, float) and math.isnan(value)
    return value is None or not_a_number or (isinstance(value, str) and not value.strip())


def places(found: list[str], most: int = 8) -> str:
    """The places, cut after a few with the number left out."""
    more = len(found) - most
    return ", ".join(found[:most]) + (f" and {more} more" if more > 0 else "")


def read_data_file(path: str | Path, delimiter: str | None = None) -> DataFile:
    """Read a local data file whole.

    Args:
        path: of the file.
        delimiter: of a table; None for a comma, in a .tsv a tab.

    Raises:
        DataFileError: it is missing, of an unknown kind, malformed (with the line) or empty.
    """
    file = Path(path).expanduser().absolute()
    if file.suffix.lower() not in LOADERS:
        raise DataFileError(f"{file} is none of {', '.join(LOADERS)}. Save it as one of these.")
    if not file.is_file():
        raise DataFileError(f"There is no file {file} (looked for from {Path.cwd()}).")
    if LOADERS[file.suffix.lower()] == "parquet":
        found = _parquet(file)
    else:
        text = _text(file)
        if not text.strip():
            raise DataFileError(f"{file} is empty. Expected one document per row.")
        table = LOADERS[file.suffix.lower()] == "csv"
        found = list(_csv(file, text, delimiter) if table else _json(file, text))
    if not found:
        raise DataFileError(f"{file} holds no rows. Expected one document per row.")
    return DataFile(file, [row for _, row in found], [place for place, _ in found])


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataFileError(f"{file} cannot be read: {error.strerror}.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataFileError(
            f"{file}, line {line}: not UTF-8 (byte {content[error.start]:#04x}). "
            "Save the file as UTF-8."
        ) from error


def _json(file: Path, text: str) -> Iterator[tuple[str, Row]]:
    """A list of objects (.json), or an object per line."""
    if text.lstrip().startswith("["):
        try:
            items = parse_json(text)
        except ValueError as error:
            raise DataFileError(_not_json(file, error, getattr(error, "lineno", 0))) from None
        for number, item in enumerate(items, 1):
            yield f"item {number}", _object(file, f"item {number}", item)
        return
    or_list = ", or a list of objects" * (file.suffix.lower() == ".json")
    # Split at "\n" only: str.splitlines would also cut at U+2028, which JSON texts may hold.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = parse_json(line)
        except ValueError as error:
            raise DataFileError(
                f"{_not_json(file, error, number)} Expected one JSON object per line{or_list}."
            ) from None
        yield f"line {number}", _object(file, f"line {number}", item)


def _not_json(file: Path, error: ValueError, line: int) -> str:
    where = f", line {line}" if line else ""
    if hasattr(error, "msg"):
        return f"{file}{where}: not JSON: {error.msg} at character {getattr(error, 'colno', 0)}."
    return f"{file}{where}: {error}. Correct it."


def _object(file: Path, place: str, item: object) -> Row:
    if isinstance(item, dict):
        return item
    raise DataFileError(
        f"{file}, {place}: expected an object with named fields, got {type(item).__name__} "
        f'{str(item)[:60]!r}. Write each document as {{"question": ..., "answer": ...}}.'
    )


def _csv(file: Path, text: str, delimiter: str | None) -> Iterator[tuple[str, Row]]:
    delimiter = delimiter or ("\t" if file.suffix.lower() == ".tsv" else ",")
    csv.field_size_limit(max(len(text), csv.field_size_limit()))  # 131,072 by default
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)

    def refuse(problem: str, cause: Exception | None = None) -> NoReturn:
        raise DataFileError(f"{file}, line {max(reader.line_num, 1)}: {problem}") from cause

    header: list[str] = []
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            refuse(f"{error}. Check the quotes (a quote inside a quoted cell is doubled).", error)
        if not cells:
            continue
        if header:
            if len(cells) != len(header):
                refuse(
                    f"{len(cells)} cells, but the header has {len(header)}: {', '.join(header)}. "
                    "Quote cells that hold the delimiter."
                )
            yield f"line {reader.line_num}", dict(zip(header, cells, strict=True))
        else:
            header = cells
            other = other_delimiter(header)
            if other:
                refuse(f"{delimiter_cure(header[0], delimiter, other)}")
            if not all(name.strip() for name in header) or len(set(header)) < len(header):
                refuse(f"the header {header} has empty or repeated names. Name each column once.")


def other_delimiter(columns: list[str]) -> str:
    """What a table's columns are really divided by, where they were read as a single one."""
    found = [sign for sign in _DELIMITERS if sign in columns[0]] if len(columns) == 1 else []
    return max(found, key=columns[0].count) if found else ""


def delimiter_cure(column: str, delimiter: str, other: str) -> str:
    """That a table has another delimiter than it is read with, and what to do."""
    return (
        f"the only column is {column[:80]!r}: the file is read with {delimiter!r} between its "
        f"columns, and has {other!r}. Save it with {delimiter!r}, or as JSON lines; or, in a task "
        f"YAML of your own, tell lm-eval: dataset_kwargs: {{..., sep: {other!r}}}."
    )


def _parquet(file: Path) -> list[tuple[str, Row]]:
    try:
        rows: list[Row] = ParquetFile(file, *AS_ROWS).table().to_pylist()
    except (OSError, ValueError) as error:
        raise DataFileError(f"{file} is not a readable parquet file: {first_line(error)}") from None
    return [(f"row {number}", row) for number, row in enumerate(rows, 1)]
