"""The figures of one or several runs as files, SVG and PNG; same numbers, same bytes."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context

from pa_harness.report.plots import (
    calibration,
    fractional_difference,
    heat_map,
    instruction_following,
    small_multiples,
    trade_off,
)
from pa_harness.storage import write_with

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from pa_harness.analysis.summary import Summary

_DPI = 160  # of PNG
_FIXED: Any = {  # ids of SVG elements, text as shapes, and $ in a task's name is a dollar
    **{"svg.hashsalt": "pa-harness", "svg.fonttype": "path", "text.parse_math": False},
}


def all_figures(summaries: Sequence[Summary]) -> dict[str, Figure]:
    """Every figure that the runs have data for, by file name without suffix."""
    with rc_context(_FIXED):
        drawn = {
            "icl": fractional_difference(summaries),
            "instruction_following": instruction_following(summaries),
            "trade_off": trade_off(summaries),
            "categories": small_multiples(summaries, "category"),
            "tasks": small_multiples(summaries, "task"),
            "calibration": calibration(summaries),
        }
        for number, summary in enumerate(summaries):
            name = "heat_map" if len(summaries) == 1 else f"heat_map_{number + 1}"
            drawn[name] = heat_map(summary)
    return {name: figure for name, figure in drawn.items() if figure is not None}


def write_figures(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Write each figure as SVG and PNG, atomically; return the paths."""
    written = []
    for name, figure in figures.items():
        for kind in ("svg", "png"):
            path = folder / f"{name}.{kind}"
            write_with(path, partial(_save, figure, kind))
            written.append(path)
    return written


def svg(figure: Figure) -> str:
    """The figure as SVG text, to stand in a page."""
    buffer = BytesIO()
    _save(figure, "svg", buffer)
    text = buffer.getvalue().decode("utf-8")
    return text[text.index("<svg") :]


def _save(figure: Figure, kind: str, target: Path | BytesIO) -> None:
    metadata: dict[str, Any] = {"Date" if kind == "svg" else "Software": None}
    with rc_context(_FIXED):
        figure.savefig(target, format=kind, dpi=_DPI, metadata=metadata)
