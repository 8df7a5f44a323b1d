"""A comparison of evaluations as text: for a terminal, as Markdown, CSV, JSON and a page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pa_harness.analysis.intervals import LEVEL
from pa_harness.analysis.pairs.rows import BETTER, FEW, SAME, UNCLEAR, Compared
from pa_harness.analysis.words import counted
from pa_harness.foreign.showing import in_markdown, one_line
from pa_harness.markdown import interval, number, signed, table
from pa_harness.report.page import template
from pa_harness.runs.tables import as_csv
from pa_harness.storage import plain

if TYPE_CHECKING:
    from pa_harness.analysis.pairs.rows import Comparison

FORMATS = ("text", "markdown", "csv", "json", "html")
_HEADER = ("task", "metric", "a", "b", "b − a", "95%", "p", "p, Holm", "n", "clusters")
_MOVES = ("right → wrong", "wrong → right")


def as_text(found: Comparison, kind: str) -> str:
    """The comparison in one of `FORMATS`."""
    if kind == "json":
        return json.dumps(plain(found), indent=2, ensure_ascii=False)
    if kind == "csv":
        return as_csv(Compared, [*found.tasks, *found.suites]).rstrip("\n")
    if kind == "html":
        return page(found)
    return "\n\n".join(_parts(found, kind))


def page(found: Comparison) -> str:
    """One page that needs no network."""
    text: str = template("compared.html.j2").render(
        found=found,
        groups=_groups(found),
        header=(*_HEADER, *_MOVES, "verdict"),
        cells=lambda row: [*_cells(row), row.verdict],
        sentence=sentence,
        basis=basis(found),
    )
    return text


def basis(found: Comparison) -> str:
    """What intervals and p are."""
    if not found.paired:
        return (
            "b − a is of means over different documents (unpaired): its interval is wider than a "
            "paired one. p is Student's."
        )
    return (
        "b − a is paired by document, with 95% intervals over clusters (documents that share a "
        "text are taken together). p is exact for right and wrong answers (McNemar's test; signs "
        "of clusters where there are some) and where few changed; 'Holm' corrects it for "
        f"{len(found.tasks)} comparison{'s' * (len(found.tasks) != 1)}."
    )


def sentence(row: Compared) -> str:
    """The verdict on one row, in words."""
    name, count = one_line(row.task), counted(row.n, row.clusters)
    apart = f"{_points(row, row.difference)} ({_range(row)}; p = {_p(row.corrected_p)}"
    apart += ", corrected)" if row.metric else ")"
    of = f"{one_line(row.other)} against {one_line(row.first)} on {name}"
    if row.verdict == SAME:
        return f"{of}: the same on all {count}."
    if row.verdict == FEW:
        return f"{of}: no verdict, {count} are too few."
    if row.verdict == UNCLEAR:
        shown = _points(row, row.detectable, sign="")
        would = f"; 80% of such comparisons would have shown {shown}" if row.detectable > 0 else ""
        return f"{of}: no difference shown, {apart}{would}."
    word = "better" if row.verdict == BETTER else "worse"
    moved = ""
    if row.lost is not None:
        moved = f" {row.lost} documents lost, {row.won} won, of {count}."
    return f"{of}: {word}, {apart}.{moved}"


def _points(row: Compared, value: float, sign: str = "+") -> str:
    if row.fraction:
        return f"{100 * value:{sign}.2f} points"
    return f"{value:{sign}.4g}"


def _range(row: Compared) -> str:
    ends = (_points(row, end).removesuffix(" points") for end in (row.low, row.high))
    return f"{LEVEL:.0%} {' to '.join(ends)}"


def _p(value: float) -> str:
    if value != value:
        return "–"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1g}"


def _groups(found: Comparison) -> list[tuple[str, list[Compared]]]:
    """The rows of each evaluation against the first; averages behind the tasks."""
    rows = [*found.tasks, *found.suites]
    return [(other, [row for row in rows if row.other == other]) for other in found.labels[1:]]


def _parts(found: Comparison, kind: str) -> list[str]:
    first, plain_text = found.labels[0], kind == "text"
    show = one_line if plain_text else in_markdown
    parts = []
    for other, rows in _groups(found):
        title = f"b = {show(other)} against a = {show(first)}"
        parts.append(f"=== {title} ===" if plain_text else f"## {title}")
        head = [*_HEADER, *(_MOVES if found.paired else ())]
        parts.append(table(head, [_cells(row)[: len(head)] for row in rows]))
        lines = [sentence(row) if plain_text else in_markdown(sentence(row)) for row in rows]
        parts.append("\n".join(lines if plain_text else [f"- {line}" for line in lines]))
    parts.append(basis(found))
    return [*parts, *(f"Note: {show(note)}" for note in found.notes)]


def _cells(row: Compared) -> list[str]:
    moves = ["–" if each is None else str(each) for each in (row.lost, row.won)]
    return [
        *(row.task, row.metric or "mean", number(row.a), number(row.b), signed(row.difference)),
        *(interval(row.low, row.high), _p(row.p), _p(row.corrected_p)),
        *(str(row.n), str(row.clusters), *moves),
    ]
