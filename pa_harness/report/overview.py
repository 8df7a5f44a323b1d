"""The figure at the head of a report: ICL itself, and instruction following, against λ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pa_harness.report.drawing import (
    GREY,
    WIDTH,
    draw_grid,
    draw_line,
    finish,
    lam_axis,
    scale_of,
    series_of,
    short,
)
from pa_harness.report.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from pa_harness.analysis.summary import Summary
    from pa_harness.report.drawing import Series

_MARK = "#222222"


def overview(summaries: Sequence[Summary], chosen: float | None = None) -> Picture | None:
    """ICL above and IF below it, each in its own unit over one λ axis, with 95% intervals.

    Args:
        summaries: one run, or several overlaid.
        chosen: a λ to mark.

    Returns:
        The figure; None where no run has ICL or IF.
    """
    panels = [(name, series_of(summaries, name, "value")) for name in ("ICL", "IF")]
    panels = [(name, found) for name, found in panels if found]
    if not panels:
        return None
    figure = Picture(figsize=(WIDTH, 1.1 + 2.3 * len(panels)), layout="constrained")
    drawn = figure.subplots(len(panels), 1, sharex=True, squeeze=False).ravel()
    for axes, (name, found) in zip(drawn, panels, strict=True):
        scale = scale_of(found)
        for series in found:
            draw_line(axes, series, factor=scale.factor)
        axes.set_ylabel(_label(name, summaries, points=scale.points), fontsize=9)
        _mark(axes, chosen, summaries)
    drawn[-1].set_xlabel(lam_axis(summaries))
    if chosen is not None:
        drawn[0].set_title(f"chosen: λ = {chosen:g}", fontsize=9, loc="right")
    for axes in drawn[1:]:
        draw_grid(axes)
    finish(drawn[0], _caption(panels, summaries))
    return figure


def _label(name: str, summaries: Sequence[Summary], *, points: bool) -> str:
    unit = "points" if points else "mean"
    if name == "ICL":
        return f"few-shot score (ICL), {unit}"
    kinds = {summary.instruction for summary in summaries if summary.curve("IF")}
    alike = kinds.pop() if len(kinds) == 1 else "mean of instruction tasks"
    return f"IF, {unit}: {short(alike, 24)}"


def _mark(axes: Axes, chosen: float | None, summaries: Sequence[Summary]) -> None:
    """The checkpoints as they are, and the λ that was chosen."""
    for number in range(max([2, *(len(each.knots) for each in summaries)])):
        axes.axvline(number, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
    if chosen is not None:
        axes.axvline(chosen, color=_MARK, linewidth=1.2, linestyle="--", zorder=0)


def _caption(panels: Sequence[tuple[str, Sequence[Series]]], summaries: Sequence[Summary]) -> str:
    """What is shaded, what has no interval, and whether runs may be held against each other."""
    parts = ["shaded: 95% at each λ, over documents"]
    for name, found in panels:
        if any(_without_width(series) for series in found):
            parts.append(f"{name}: too few documents for an interval at some λ")
    tasks = [{curve.name for curve in each.curves if curve.kind == "task"} for each in summaries]
    if any(names != tasks[0] for names in tasks):
        parts.append("the runs' tasks differ: so do those that ICL and IF are means of")
    return "\n".join(parts)


def _without_width(series: Series) -> bool:
    """Whether there is a λ whose interval is a point: nothing varied, so nothing is known."""
    width = np.asarray(series.found.high) - np.asarray(series.found.low)
    return bool((~(width > 0)).any())
