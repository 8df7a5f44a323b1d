"""A user's own table of numbers, CSV or YAML, as reported numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import yaml

from pa_harness.data_file import read_data_file
from pa_harness.errors import DataFileError, first_line
from pa_harness.reported import NO, UNKNOWN, YES, Reported

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NEEDED = ("model", "task", "metric", "value", "unit", "source")
ALSO = (
    *("num_fewshot", "stderr", "n", "version", "precision", "chat_template", "role", "date"),
    *("leaderboard", "snapshot", "scale"),
)
_TEXTS = (*("source", "version", "precision", "role", "date", "leaderboard", "snapshot"),)
_UNITS = {"percent": 100.0, "fraction": 1.0}
_TEMPLATES = {"yes": YES, "true": YES, "no": NO, "false": NO, "": UNKNOWN, "none": UNKNOWN}
SUFFIXES = (".csv", ".tsv", ".yaml", ".yml")


def read_table(path: Path) -> list[Reported]:
    """The rows of the table.

    Raises:
        DataFileError: it cannot be read, or a row lacks a column, a number or a unit.
    """
    if path.suffix.lower() in (".yaml", ".yml"):
        rows = _yaml_rows(path)
        places = [f"entry {number}" for number in range(1, len(rows) + 1)]
    else:
        file = read_data_file(path)
        rows, places = file.rows, file.places
    return [_row(row, f"{path}, {place}") for row, place in zip(rows, places, strict=True)]


def _yaml_rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataFileError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataFileError(f"{path} cannot be read as YAML: {first_line(error)}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataFileError(
            f"{path}: expected a list of mappings with {', '.join(NEEDED)}; got "
            f"{type(rows).__name__}."
        )
    return rows


def _row(row: Mapping[str, Any], place: str) -> Reported:
    given = {str(name): "" if value is None else value for name, value in row.items()}
    missing = [name for name in NEEDED if str(given.get(name, "")).strip() == ""]
    unknown = [name for name in given if name not in (*NEEDED, *ALSO)]
    if missing or unknown:
        problem = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(unknown)}"
        raise DataFileError(
            f"{place}: {problem}. Every row needs {', '.join(NEEDED)}, and may have "
            f"{', '.join(ALSO)}."
        )
    unit = _UNITS.get(str(given["unit"]).lower())
    if unit is None:
        raise DataFileError(f"{place}: unit {given['unit']!r}. Expected percent or fraction.")
    template = _TEMPLATES.get(str(given.get("chat_template", "")).lower())
    if template is None:
        raise DataFileError(
            f"{place}: chat_template {given['chat_template']!r}. Expected yes, no or nothing."
        )
    shots = _number(given, "num_fewshot", place)
    documents = _number(given, "n", place)
    made = Reported(
        model=str(given["model"]),
        task=str(given["task"]),
        metric=str(given["metric"]),
        value=_number(given, "value", place) / unit,
        stderr=_number(given, "stderr", place) / unit,
        num_fewshot=None if math.isnan(shots) else int(shots),
        n=0 if math.isnan(documents) else int(documents),
        chat_template=template,
        scale=str(given.get("scale") or "raw"),
    )
    texts: dict[str, Any] = {name: str(given.get(name, "")) for name in _TEXTS}
    return replace(made, **texts)


def _number(row: Mapping[str, Any], name: str, place: str) -> float:
    value = row.get(name, "")
    if value == "":
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataFileError(f"{place}: {name} {value!r} is no number.") from None
