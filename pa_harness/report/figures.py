"""The figures of one or several runs as files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from matplotlib import rc_context

from pa_harness.report.drawing import lam_axis, name_fine_tune
from pa_harness.report.ledger import ledger_figure
from pa_harness.report.overview import overview
from pa_harness.report.picture import FIXED, KINDS
from pa_harness.report.plots import (
    calibration,
    cost,
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

    from pa_harness.analysis.pairs.ledger import Ledger
    from pa_harness.analysis.summary import Summary
    from pa_harness.analysis.verdict import Choices
    from pa_harness.report.picture import Picture


def all_figures(
    summaries: Sequence[Summary],
    choices: Choices | None = None,
    ledger: Ledger | None = None,
) -> dict[str, Picture]:
    """Every figure that the runs have data for, by file name without suffix.

    Args:
        summaries: of the runs, overlaid.
        choices: of one run: the first figure marks its λ, the plane has its axes.
        ledger: of one run.
    """
    with rc_context(FIXED):
        drawn = {
            "overview": overview(summaries, choices.chosen if choices else None),
            "icl": fractional_difference(summaries),
            "instruction_following": instruction_following(summaries),
            "trade_off": trade_off(summaries, choices.axes if choices and choices.maximize else ()),
            "cost": cost(summaries),
            "categories": small_multiples(summaries, "category"),
            "tasks": small_multiples(summaries, "task"),
            "ledger": ledger_figure(ledger, lam_axis(summaries)) if ledger else None,
            "calibration": calibration(summaries),
        }
        for number, summary in enumerate(summaries):
            name = "heat_map" if len(summaries) == 1 else f"heat_map_{number + 1}"
            drawn[name] = heat_map(summary)
    found = {name: figure for name, figure in drawn.items() if figure is not None}
    if summaries and all(summary.mine for summary in summaries):
        for figure in found.values():
            name_fine_tune(figure)
    return found


def write_figures(figures: dict[str, Picture], folder: Path) -> list[Path]:
    """Write each figure as SVG, PNG and PDF, atomically; return the paths."""
    written = []
    for name, figure in figures.items():
        for kind in KINDS:
            path = folder / f"{name}.{kind}"
            write_with(path, partial(figure.save, kind=kind))
            written.append(path)
    return written
