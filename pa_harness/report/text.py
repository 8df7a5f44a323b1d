"""Summaries and choices as tables to read in a terminal (Markdown, so that they can be pasted)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pa_harness.markdown import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.analysis.choice import Choices
    from pa_harness.analysis.resampling import Aside, Intervals
    from pa_harness.analysis.summary import Curve, Summary

_ASIDE = {
    "ece": "ECE",
    "brier": "Brier score",
    "answer_length": "answer, tokens",
    "answers_ended": "answers ended",
    "length_controlled_winrate": "length-controlled win rate, %",
}


def summary_text(summary: Summary) -> str:
    """All averages against λ, every task's difference to λ = 1, and what stands beside."""
    parts = [
        f"{summary.label}: {len(summary.lams)} λ; 95% intervals from {summary.replicates} "
        "resamples of the documents."
    ]
    if summary.instruction:
        parts.append(f"IF is {summary.instruction}.")
    parts += [_curve_text(summary, curve) for curve in summary.curves if curve.kind == "suite"]
    tasks = [curve for curve in summary.curves if curve.kind == "task"]
    parts.append(_tasks_text(summary, tasks))
    shares = [curve for curve in summary.curves if curve.kind == "part"]
    if shares:
        parts.append(f"Parts of them:\n\n{_tasks_text(summary, shares)}")
    if summary.aside:
        header = ["λ"]
        for name, each in summary.aside.items():
            header += [_ASIDE[name], *(["95%"] if _ranged(each) else [])]
        rows = [
            [f"{lam:g}", *(cell for each in summary.aside.values() for cell in _beside(each, row))]
            for row, lam in enumerate(summary.lams)
        ]
        parts.append("Means over the tasks that have them:\n\n" + table(header, rows))
    parts += [f"Note: {note}" for note in summary.notes]
    return "\n\n".join(parts)


def choices_text(choices: Choices) -> str:
    """The choices as a table, the Pareto front, and a sentence for each rule."""
    header = ["rule", "λ", "value", "at λ = 1", "difference", "cross-fitted gain", "IF change"]
    rows = [
        [
            *(choice.meaning, f"{choice.lam:g}", _number(choice.value)),
            *(_number(choice.instruct_value), _signed(choice.naive_gain)),
            f"{_signed(choice.gain.estimate)} {_range(choice.gain.low, choice.gain.high)}",
            _signed(choice.instruction_change),
        ]
        for choice in choices.choices
    ]
    parts = [table(header, rows)]
    if choices.pareto:
        front = ", ".join(f"{lam:g}" for lam in choices.pareto)
        parts.append(f"IF is {choices.instruction}. Pareto front of ICL and IF: λ = {front}")
    return "\n\n".join([*parts, *(choice.sentence for choice in choices.choices)])


def _curve_text(summary: Summary, curve: Curve) -> str:
    header = ["λ", "value"]
    columns: list[list[str]] = [[_number(value) for value in curve.value.estimate]]
    for name, found in (
        ("λ − 1", curve.to_instruct),
        ("λ − 0", curve.to_base),
        ("λ − 1, %", curve.fractional),
    ):
        if found is not None:
            header += [name, "95%"]
            columns += [[_signed(value) for value in found.estimate], _ranges(found)]
    if curve.to_instruct is not None:
        header.append("95%, all λ at once")
        band = (curve.to_instruct.band_low, curve.to_instruct.band_high)
        columns.append([_range(*pair) for pair in zip(*band, strict=True)])
    if curve.over_tasks is not None:
        header.append("95%, over tasks")
        columns.append(_ranges(curve.over_tasks))
    rows = [
        [f"{lam:g}", *(column[row] for column in columns)] for row, lam in enumerate(summary.lams)
    ]
    tasks = f"{curve.counted} task{'s' * (curve.counted != 1)}"
    title = f"{curve.name} ({tasks}, {curve.documents} documents)"
    return f"{title}\n\n{table(header, rows)}"


def _tasks_text(summary: Summary, tasks: Sequence[Curve]) -> str:
    header = ["difference to λ = 1", "n", *(f"{lam:g}" for lam in summary.lams)]
    rows = []
    for curve in tasks:
        found = curve.to_instruct
        values = curve.value.estimate if found is None else found.estimate
        stars = [""] * len(values)
        if found is not None:
            pairs = zip(found.band_low, found.band_high, strict=True)
            stars = ["*" if low > 0 or high < 0 else "" for low, high in pairs]
        cells = [_signed(value) + star for value, star in zip(values, stars, strict=True)]
        rows.append([curve.name, str(curve.documents), *cells])
    what = "* = outside the task's simultaneous 95% band"
    return f"{table(header, rows)}\n\n{what}"


def _ranged(found: Aside) -> bool:
    return not all(math.isnan(low) for low in found.low)


def _beside(found: Aside, row: int) -> list[str]:
    low, high = _number(found.low[row]), _number(found.high[row])
    return [_number(found.estimate[row]), *([f"[{low}, {high}]"] if _ranged(found) else [])]


def _ranges(found: Intervals) -> list[str]:
    return [_range(low, high) for low, high in zip(found.low, found.high, strict=True)]


def _range(low: float, high: float) -> str:
    return f"[{_signed(low)}, {_signed(high)}]"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.4f}"
