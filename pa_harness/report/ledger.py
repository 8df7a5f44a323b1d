"""The ledger of a sweep as a figure (won above, lost below the line) and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pa_harness.markdown import number, table
from pa_harness.report.drawing import draw_grid, short
from pa_harness.report.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from pa_harness.analysis.intervals import Pointwise
    from pa_harness.analysis.pairs.ledger import Ledger, Line

_WON, _LOST = "#0072B2", "#D55E00"  # of Okabe and Ito
_NEAR = 1e-9  # of ticks, which are rounded
_TICKS = 6  # λ that are named one by one
_MOST = 8  # averages that are drawn
HEADER = ("λ", "lost", "95%", "won", "95%", "lost, corrected", "95%", "won, corrected", "95%")


def ledger_figure(found: Ledger, axis: str) -> Picture | None:
    """Each average against λ = 1 and against λ = 0: bars of what was won and lost, in points.

    Lines are 95% intervals; a dash is the share corrected for guessing.

    Args:
        found: the ledger.
        axis: the name of the λ axis.
    """
    shown = [line for line in found.lines if line.kind == "suite"]
    names = list(dict.fromkeys(line.name for line in shown))[:_MOST]
    befores = list(dict.fromkeys(line.against for line in shown))
    if not names:
        return None
    size = (3.4 * len(befores) + 0.6, 1.9 * len(names) + 0.9)
    figure = Picture(figsize=size, layout="constrained")
    panels = figure.subplots(len(names), len(befores), sharex=True, squeeze=False)
    for line in shown:
        if line.name in names:
            axes = panels[names.index(line.name), befores.index(line.against)]
            _bars(axes, found.lams, line)
    figure.supxlabel(axis, fontsize=9)
    figure.supylabel("points of documents", fontsize=8)
    caption = "won above, lost below; lines: 95%"
    if any(line.moves.lost_corrected for line in shown if line.name in names):
        caption += "; dash: corrected for guessing"
    figure.suptitle(caption, fontsize=8)
    return figure


def _bars(axes: Axes, lams: Sequence[float], line: Line) -> None:
    gaps = np.diff(lams)
    width = 0.7 * float(gaps.min()) if len(gaps) else 0.5
    moves = line.moves
    for sign, colour, plain, corrected in (
        (1, _WON, moves.won, moves.won_corrected),
        (-1, _LOST, moves.lost, moves.lost_corrected),
    ):
        ends = np.stack([plain.estimate - plain.low, plain.high - plain.estimate])
        ends = 100 * np.maximum(ends if sign > 0 else ends[::-1], 0)
        axes.bar(lams, sign * 100 * plain.estimate, width, color=colour, alpha=0.7)
        axes.errorbar(
            lams, sign * 100 * plain.estimate, ends, fmt="none", ecolor="#444444", elinewidth=0.8
        )
        if corrected is not None:
            axes.plot(lams, sign * 100 * corrected.estimate, "_", color="black", markersize=9)
    axes.set_xlim(min(lams) - width, max(lams) + width)
    low, high = min(lams) - _NEAR, max(lams) + _NEAR
    inside = [tick for tick in axes.get_xticks() if low <= tick <= high]
    axes.set_xticks(lams if len(lams) <= _TICKS else inside)
    axes.axhline(0, color="#222222", linewidth=0.8)
    axes.set_title(f"{short(line.name, 28)} against λ = {line.against:g}", fontsize=8)
    axes.tick_params(labelsize=7, labelbottom=True)
    draw_grid(axes)


def line_cells(found: Ledger, line: Line) -> list[list[str]]:
    """The cells of one line's table, a row for each λ; shares of documents."""
    moves = line.moves
    columns = (moves.lost, moves.won, moves.lost_corrected, moves.won_corrected)
    return [
        [f"{lam:g}", *(cell for column in columns for cell in _cell(column, row))]
        for row, lam in enumerate(found.lams)
    ]


def _cell(column: Pointwise | None, row: int) -> list[str]:
    if column is None:
        return ["–", "–"]
    ends = f"{number(column.low[row])} to {number(column.high[row])}"
    return [number(column.estimate[row]), ends]


def ledger_text(found: Ledger) -> str:
    """The averages' lines for a terminal."""
    parts = []
    for line in (line for line in found.lines if line.kind == "suite"):
        title = f"{line.name} against λ = {line.against:g} (shares of {line.documents} documents)"
        parts.append(f"{title}\n\n{table(HEADER, line_cells(found, line))}")
    return "\n\n".join(parts)
