"""Make pa_harness/leaderboards/published.csv from a folder with collected numbers.

    python tests/support/build_published.py FOLDER

FOLDER holds ``published_scores.csv`` with the columns model, role, leaderboard, task, num_fewshot,
metric (with its scale in brackets), value, source, date. Every number is taken over as it was read;
only its unit changes (percent to fraction), and what the texts say besides gets columns.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pa_harness.interchange.reported import NO, UNKNOWN, YES, Reported

if TYPE_CHECKING:
    from collections.abc import Iterable

TARGET = Path(__file__).parents[2] / "pa_harness" / "leaderboards" / "published.csv"
SNAPSHOTS = {  # of leaderboards whose metrics do not name one: when the source was made
    "open_llm_v1": "2024-06",
    "alpaca_eval_2": "2024-12",
    "alpaca_eval_1": "2024-12",
}
METRICS = {  # the sources' words -> lm-eval's
    "acc (macro mean of 57 subjects)": "acc",
    "acc (mc2)": "acc",
    "acc (exact match)": "exact_match",
    "exact match": "exact_match",
    "mean of 6": "mean",
    "mean of 6 normalized": "mean",
}
UNITS = {"avg_length": "characters", "n_total": "instructions"}
PERCENT_WITHOUT_BRACKETS = ("alpaca_eval_2", "alpaca_eval_1", "model_card_alpaca_eval_1")
COLUMNS = (
    *("leaderboard", "snapshot", "model", "role", "task", "num_fewshot", "metric", "scale"),
    *("unit", "value", "precision", "chat_template", "run", "official", "date", "source"),
)


def build(folder: Path) -> str:
    """The text of the data file."""
    with (folder / "published_scores.csv").open(newline="", encoding="utf-8") as file:
        rows = [convert(row) for row in csv.DictReader(file)]
    return to_csv(sorted(rows, key=_order))


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


def convert(row: dict[str, str]) -> Reported:
    """One collected row as a record."""
    board, source = row["leaderboard"], row["source"]
    metric, _, scale = row["metric"].partition(" [")
    unit = UNITS.get(metric, "fraction")
    percent = "0-100" in scale or (not scale and board in PERCENT_WITHOUT_BRACKETS)
    if not percent and "0-1," not in scale:
        raise ValueError(f"no unit is known for {row}")
    hundred = 100 if percent and unit == "fraction" else 1
    snapshot = "final" if "final archive" in scale else SNAPSHOTS.get(board, row["date"])
    if "2024-08" in scale:
        snapshot = "2024-08"
    template = {"True": YES, "False": NO}.get(_found(r"chat_template=(\w+)", source), UNKNOWN)
    if board == "open_llm_v1":
        template = NO  # it knew none: lm-eval got chat templates after the commit that it ran
    return Reported(
        model=row["model"],
        role=row["role"],
        leaderboard=board,
        snapshot=snapshot,
        task=row["task"],
        num_fewshot=int(row["num_fewshot"]) if row["num_fewshot"] else None,
        metric=METRICS.get(metric, metric),
        scale="normalized" if "normalized" in scale else "raw",
        unit=unit,
        value=float(row["value"]) / hundred,
        precision=_found(r"precision=(\w+)", source),
        chat_template=template,
        run=_run(source, row["date"]),
        official=board.startswith(("open_llm", "alpaca_eval")) and "own run" not in source,
        date=row["date"],
        source=source,
    )


def _run(source: str, date: str) -> str:
    """The commit, else the archive's file, else the day: tells a model's runs apart."""
    commit = _found(r"sha=([0-9a-f]{6,})", source)
    return commit or _found(r"/([0-9a-f]{8})-[0-9a-f-]+\.json", source) or date


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else ""


def _order(row: Reported) -> tuple[str, ...]:
    return (row.leaderboard, row.snapshot, row.model, row.precision, row.run, row.date, row.task)


if __name__ == "__main__":
    TARGET.write_text(build(Path(sys.argv[1])), encoding="utf-8")
