"""Summaries and choices as tables to read in a terminal (Markdown, so that they can be pasted)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pa_harness.analysis.words import counted, how_tried, percent
from pa_harness.markdown import Scale, number, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.analysis.crossfit import Gain
    from pa_harness.analysis.intervals import Pointwise
    from pa_harness.analysis.summary import Curve, Summary
    from pa_harness.analysis.verdict import Choice, Choices

_PLAIN = Scale()
MINE_TEXT = "λ = 1 is your fine-tune, λ = 0 its parent."
_ASIDE = {
    "calibration": "calibration error",
    "brier": "Brier score",
    "answer_length": "answer, tokens",
    "answers_ended": "answers ended",
    "thinking": "of it thinking, tokens",
    "thinking_closed": "thinking closed",
    "per_thousand_tokens": "score per 1000 tokens",
}


def summary_text(summary: Summary) -> str:
    """All averages against λ, every task's difference to λ = 1, and what stands beside."""
    parts = [f"{summary.label}: {len(summary.lams)} λ; {meaning(summary)}"]
    if summary.mine:
        parts.append(MINE_TEXT)
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
        for name in summary.aside:
            header += [_aside_name(name), "95%"]
        rows = [
            [f"{lam:g}", *(cell for each in summary.aside.values() for cell in _beside(each, row))]
            for row, lam in enumerate(summary.lams)
        ]
        parts.append("Means over the tasks that have them:\n\n" + table(header, rows))
    parts += [f"Note: {note}" for note in summary.notes]
    return "\n\n".join(parts)


def meaning(summary: Summary) -> str:
    """Of what the intervals are, as a sentence."""
    shots = "for these demonstrations"
    if summary.draws > 1:
        shots = f"with {summary.draws} draws of the demonstrations"
    return (
        "95% intervals over documents, paired along λ, those that share a text taken together; "
        f"{shots}."
    )


def choices_text(choices: Choices) -> str:
    """The choices as tables, the Pareto front, and a sentence for each rule."""
    scale, followed = scales(choices)
    header = ["rule", "λ", "candidate", f"value{scale.unit}", "at λ = 1", "difference"]
    header += ["95%, all λ at once", "gain of choosing so"]
    header += [f"its IF change{followed.unit}"] if followed else []
    rows = [
        [
            choice.meaning,
            "–" if math.isnan(choice.lam) else f"{choice.lam:g}",
            *(f"{choice.candidate:g}", scale.number(choice.value)),
            *(scale.number(choice.instruct_value), scale.signed(choice.difference)),
            *(scale.interval(choice.low, choice.high), _gain(choice.gain, scale)),
            *([_gain(choice.instruction_change, followed)] if followed else []),
        ]
        for choice in choices.choices
    ]
    parts = [*([MINE_TEXT] if choices.mine else []), table(header, rows)]
    parts += [_kept_text(choices, choice) for choice in choices.choices if choice.kept]
    if choices.pareto:
        front = ", ".join(f"{lam:g}" for lam in choices.pareto)
        names = " and ".join(axis.name for axis in choices.axes)
        whole = f"IF is {choices.instruction}. " if choices.instruction else ""
        parts.append(f"{whole}Pareto front of {names}: λ = {front}")
    return "\n\n".join([*parts, *(choice.sentence for choice in choices.choices)])


def scales(choices: Choices) -> tuple[Scale, Scale | None]:
    """Of the objectives of all rules, and of IF where its change is known."""
    points = all(choice.scale.points for choice in choices.choices)
    if all(math.isnan(each.instruction_change.estimate) for each in choices.choices):
        return Scale(points), None
    values = [value for axis in choices.axes if axis.name == "IF" for value in axis.values]
    return Scale(points), Scale.of(values)


def _gain(found: Gain, scale: Scale) -> str:
    return f"{scale.signed(found.estimate)} {scale.interval(found.low, found.high)}"


def _kept_text(choices: Choices, choice: Choice) -> str:
    """How sure each constraint is at each λ."""
    header = ["λ", *(f"P({kept.constraint})" for kept in choice.kept)]
    header += [f"certain with {percent(kept.level)}" for kept in choice.kept]
    header += ["may be chosen", *(["on the front"] if choices.on_front else [])]
    rows = []
    for row, lam in enumerate(choices.lams):
        cells = [number(kept.probability[row], 3) for kept in choice.kept]
        cells += [kept.bound(row) for kept in choice.kept]
        cells.append(choice.may(row))
        cells += [f"{share:.0%}" for share in choices.on_front[row : row + 1]]
        rows.append([f"{lam:g}", *cells])
    return "\n\n".join([table(header, rows), *how_tried(choice)])


def _curve_text(summary: Summary, curve: Curve) -> str:
    scale = curve.scale
    header = ["λ", f"value{scale.unit}"]
    columns: list[list[str]] = [[scale.number(value) for value in curve.value.estimate]]
    for name, found, shown in (
        (f"λ − {summary.against:g}", curve.to_instruct, scale),
        ("λ − 0", curve.to_base, scale),
        (f"λ − {summary.against:g}, %", curve.fractional, _PLAIN),
    ):
        if found is not None:
            header += [name, "95%"]
            columns += [[shown.signed(each) for each in found.estimate], _ranges(found, shown)]
    if curve.to_instruct is not None:
        header.append("95%, all λ at once")
        band = (curve.to_instruct.band_low, curve.to_instruct.band_high)
        columns.append([scale.interval(*pair) for pair in zip(*band, strict=True)])
    if curve.over_tasks is not None:
        header.append("95%, over tasks")
        columns.append(_ranges(curve.over_tasks, scale))
    rows = [
        [f"{lam:g}", *(column[row] for column in columns)] for row, lam in enumerate(summary.lams)
    ]
    return f"{curve.name} ({size_text(curve)})\n\n{table(header, rows)}"


def _tasks_text(summary: Summary, tasks: Sequence[Curve]) -> str:
    points = all(curve.scale.points for curve in tasks)
    scale = Scale(points)
    header = [
        f"difference to λ = {summary.against:g}{scale.unit}",
        "n",
        "clusters",
        *(f"{lam:g}" for lam in summary.lams),
    ]
    rows = []
    for curve in tasks:
        found = curve.to_instruct
        values = curve.value.estimate if found is None else found.estimate
        stars = ["*" if clear else "" for clear in curve.outside] or [""] * len(values)
        cells = [scale.signed(value) + star for value, star in zip(values, stars, strict=True)]
        rows.append([curve.name, str(curve.documents), str(curve.clusters), *cells])
    return f"{table(header, rows)}\n\n{stars_text(summary)}"


def stars_text(summary: Summary) -> str:
    """What a mark beside a difference says."""
    return f"* = 0 is outside, at 95% for all {summary.cells} differences of tasks together"


def size_text(curve: Curve) -> str:
    """How much a curve rests on."""
    tasks = f"{curve.counted} task{'s' * (curve.counted != 1)}"
    return f"{tasks}, {counted(curve.documents, curve.clusters)}"


def _aside_name(name: str) -> str:
    """As people read it; of a judge's rate with the judge."""
    rate, _, judge = name.partition(" ")
    return _ASIDE.get(name) or f"length-controlled win rate, % ({judge or rate})"


def _beside(found: Pointwise, row: int) -> list[str]:
    low, high = number(found.low[row]), number(found.high[row])
    return [number(found.estimate[row]), f"[{low}, {high}]"]


def _ranges(found: Pointwise, scale: Scale) -> list[str]:
    return [scale.interval(low, high) for low, high in zip(found.low, found.high, strict=True)]
