"""A user's own table of numbers, CSV or YAML, as reported numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pa_harness.data_file import read_data_file
from pa_harness.errors import DataFileError, first_line
from pa_harness.foreign.reading import parse_yaml
from pa_harness.interchange.reported import NO, UNKNOWN, YES, Reported
from pa_harness.leaderboards.boards import BOARDS, NAMES

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
_SCALES = ("raw", "normalized")
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
    if not rows:
        raise DataFileError(f"{path} holds no rows. Expected {', '.join(NEEDED)} in each.")
    numbers: list[Reported] = []
    found: dict[Reported, str] = {}
    for row, place in zip(rows, places, strict=True):
        number = _row(row, f"{path}, {place}")
        what = replace(number, value=0.0, stderr=0.0, source="")
        if what in found:
            raise DataFileError(
                f"{path}: {found[what]} and {place} are of one thing ({number.model}, "
                f"{number.task}, {number.metric}). Keep one, or tell them apart by a date."
            )
        found[what] = place
        numbers.append(number)
    return numbers


def _yaml_rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataFileError(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
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
    value = _value(given, unit, place)
    _check_words(given, place)
    template = _TEMPLATES.get(str(given.get("chat_template", "")).lower())
    if template is None:
        raise DataFileError(
            f"{place}: chat_template {given['chat_template']!r}. Expected yes, no or nothing."
        )
    shots = _count(given, "num_fewshot", place)
    made = Reported(
        model=str(given["model"]),
        task=str(given["task"]),
        metric=str(given["metric"]),
        value=value,
        stderr=_number(given, "stderr", place) / unit,
        num_fewshot=shots,
        n=_count(given, "n", place) or 0,
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
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataFileError(f"{place}: {name} {value!r} is no number.")
    return number


def _count(row: Mapping[str, Any], name: str, place: str) -> int | None:
    number = _number(row, name, place)
    if math.isnan(number):
        return None
    if number < 0 or number != int(number):
        raise DataFileError(f"{place}: {name} {row[name]!r}. Expected a whole number from 0.")
    return int(number)


def _value(row: Mapping[str, Any], unit: float, place: str) -> float:
    """The value as a fraction; below 0 only where chance is 0."""
    value = _number(row, "value", place) / unit
    least = -math.inf if row.get("scale") == "normalized" else 0
    if not least <= value <= 1:
        other = " Is it percent?" if unit == 1 and 1 < value <= 100 else ""
        raise DataFileError(
            f"{place}: value {row['value']} with unit {row['unit']}. Expected 0 to {unit:g}.{other}"
        )
    return value


def _check_words(row: Mapping[str, Any], place: str) -> None:
    """Names of which each stands for something; another one would be compared with nothing."""
    board = str(row.get("leaderboard", ""))
    snapshots = [each.snapshot for each in BOARDS if each.name == board]
    for name, known in (("scale", _SCALES), ("leaderboard", NAMES), ("snapshot", snapshots)):
        given = str(row.get(name, ""))
        if given and given not in known:
            expected = ", ".join(known) or "none without a leaderboard"
            raise DataFileError(f"{place}: {name} {given!r}. Expected nothing, or {expected}.")
