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

COLUMNS = (
    *("leaderboard", "snapshot", "model", "role", "task", "num_fewshot", "metric", "scale"),
    *("unit", "value", "precision", "chat_template", "run", "official", "date", "source"),
)


@cache
def published() -> tuple[Reported, ...]:
    """All rows, in the order of the file."""
    file = resources.files("pa_harness.leaderboards").joinpath("published.csv")
    rows = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))
    return tuple(_row(row) for row in rows)


def to_csv(rows: Iterable[Reported]) -> str:
    """The rows as the file holds them."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        cells = {name: getattr(row, name) for name in COLUMNS}
        cells["num_fewshot"] = "" if row.num_fewshot is None else row.num_fewshot
        cells["official"] = "yes" if row.official else "no"
        cells["value"] = f"{row.value:.10g}"
        writer.writerow(cells.values())
    return buffer.getvalue()


def _row(row: dict[str, str]) -> Reported:
    given: dict[str, object] = dict(row)
    given["num_fewshot"] = int(row["num_fewshot"]) if row["num_fewshot"] else None
    given["value"] = float(row["value"])
    given["official"] = row["official"] == "yes"
    return Reported(**given)  # type: ignore[arg-type]
