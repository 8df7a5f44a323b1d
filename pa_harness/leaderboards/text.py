"""A comparison as text: for a terminal, as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import fields
from typing import TYPE_CHECKING

from pa_harness.foreign.showing import cell as as_cell
from pa_harness.foreign.showing import one_line
from pa_harness.leaderboards.comparison import Row
from pa_harness.leaderboards.ranks import AVERAGE, COMPUTED
from pa_harness.markdown import number, signed, table
from pa_harness.storage import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.leaderboards.ranks import Standing
    from pa_harness.leaderboards.sections import Section

FORMATS = ("text", "markdown", "csv", "json")
_HEADER = ("task", "model", "ours", "±", "published", "difference", "z", "visible", "verdict")


def as_text(found: Sequence[Section], kind: str) -> str:
    """The sections in one of `FORMATS`."""
    if kind == "csv":
        return _csv(found)
    if kind == "json":
        return json.dumps([plain(section) for section in found], indent=2, ensure_ascii=False)
    return "\n\n".join(_section(section, kind) for section in found)


def _section(section: Section, kind: str) -> str:
    title = f"## {section.title}" if kind == "markdown" else f"=== {section.title} ==="
    parts = [title]
    models = list(dict.fromkeys(row.model for row in section.rows if row.model))
    if models:
        parts.append(f"Published: {', '.join(models)}.")
    rows = [_cells(row) for row in section.rows]
    # The verdict is a sentence: it stands last, to the left, and is not padded.
    lines = table(_HEADER[:-1], [cells[:-1] for cells in rows]).split("\n")
    last = [_HEADER[-1], "---", *(cells[-1] for cells in rows)]
    parts.append("\n".join(f"{line} {end} |" for line, end in zip(lines, last, strict=True)))
    parts += ["\n".join(section.sentences)] if section.sentences else []
    parts.append(_ranks(section.standings, kind))
    return "\n\n".join(part for part in parts if part)


def _cells(row: Row) -> list[str]:
    return [
        *(row.task, row.contender, number(row.value), number(row.stderr)),
        *(number(row.published), signed(row.difference), signed(row.z, 2)),
        number(row.visible),
        one_line(row.verdict).replace("|", "\\|"),
    ]


def _ranks(standings: Sequence[Standing], kind: str) -> str:
    """The ranks; a task without one has its reason in the verdict, an average in a line here."""
    parts = []
    ranked = [each for each in standings if each.rank]
    if ranked:
        title = f"Where it would stand ({COMPUTED}; among the published models of its size)"
        header = ("model", "of", "value", "rank", "95%", "published runs", "their size")
        cells = [
            (
                *(s.contender, s.what, number(s.value), str(s.rank)),
                *(f"{s.best} to {s.worst}" if s.best else "–", str(s.of), s.size_class),
            )
            for s in ranked
        ]
        parts += [f"### {title}" if kind == "markdown" else title, table(header, cells)]
    lines = [
        f"No rank of the average for {each.contender}: {each.note}."
        for each in standings
        if each.what == AVERAGE and not each.rank
    ]
    parts += ["\n".join(lines)] if lines else []
    return "\n\n".join(parts)


def _csv(found: Sequence[Section]) -> str:
    names = [field.name for field in fields(Row)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["leaderboard", "snapshot", *names])
    for section in found:
        for row in section.rows:
            cells = [getattr(row, name) for name in names]
            texts = ["; ".join(cell) if isinstance(cell, tuple) else cell for cell in cells]
            kept = ["" if cell != cell else cell for cell in texts]
            named = [section.leaderboard or section.title, section.snapshot, *kept]
            writer.writerow(as_cell(each) if isinstance(each, str) else each for each in named)
    return buffer.getvalue().rstrip("\n")
