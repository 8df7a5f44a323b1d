"""Published leaderboard numbers: facts, each with its source, in ``published.csv``.

``tests/support/build_published.py FOLDER`` makes the file. The snapshots of one
leaderboard are kept apart: the Open LLM Leaderboard v2 scored MATH anew between August
2024 and its end, and some models were submitted again in
another precision or with another template.
"""

from __future__ import annotations

import csv
import io
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from pa_harness.interchange.reported import Reported

if TYPE_CHECKING:
    from collections.abc import Iterable


@cache
def published() -> tuple[Reported, ...]:
    """All rows, in the order of the file."""
    file = resources.files("pa_harness.leaderboards").joinpath("published.csv")
    rows = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))
    return tuple(_row(row) for row in rows)


def published_runs(rows: Iterable[Reported]) -> list[list[Reported]]:
    """The rows by the run that made them; models can have been submitted more than once."""
    runs: dict[tuple[str, ...], list[Reported]] = {}
    for row in rows:
        key = (row.model, row.run, row.precision, row.chat_template, row.date)
        runs.setdefault(key, []).append(row)
    return list(runs.values())


def _row(row: dict[str, str]) -> Reported:
    given: dict[str, object] = dict(row)
    given["num_fewshot"] = int(row["num_fewshot"]) if row["num_fewshot"] else None
    given["value"] = float(row["value"])
    given["official"] = row["official"] == "yes"
    return Reported(**given)  # type: ignore[arg-type]
