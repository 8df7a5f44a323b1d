"""Summaries as figures. Reads no file, shows nothing, saves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pa_harness.markdown import Scale
from pa_harness.report.drawing import (
    GREY,
    WIDTH,
    Plane,
    asides_of,
    draw_grid,
    draw_line,
    draw_plane,
    finish,
    label_of,
    lam_axis,
    mark_knots,
    name_points,
    one_panel,
    place_name,
    scale_of,
    series_of,
    short,
    tip_id,
)
from pa_harness.report.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist

    from pa_harness.analysis.summary import Curve, Summary
    from pa_harness.analysis.verdict import Axis

# Positive is good everywhere: from purple (worse) over white to orange (better).
_DIVERGING = "PuOr_r"
TITLES = {  # of figures with one panel; the page says the same above them
    "icl": "ICL against λ = 1",
    "instruction_following": "Instruction following",
    "trade_off": "Few-shot learning against instruction following",
    "cost": "What an answer costs",
}


def fractional_difference(summaries: Sequence[Summary]) -> Picture | None:
    """ICL's difference to λ = 1 in percent against λ (Figure 1 of İrsoy et al. 2025)."""
    found = series_of(summaries, "ICL", "fractional")
    if not found:
        return None
    figure, axes = one_panel(TITLES["icl"])
    for series in found:
        draw_line(axes, series, band=len(summaries) == 1)
    axes.axhline(0, color=GREY, linewidth=0.8)
    one = _against(summaries)
    axes.set_ylabel(f"100 · (ICL(λ) − ICL({one})) / ICL({one}),  %")
    what = "shaded: 95% at each λ"
    finish(
        axes, f"{what}; dotted: 95% at all λ at once" if len(summaries) == 1 else what, summaries
    )
    return figure


def instruction_following(summaries: Sequence[Summary]) -> Picture | None:
    """The mean of the instruction-following tasks against λ."""
    found = series_of(summaries, "IF", "value")
    if not found:
        return None
    figure, axes = one_panel(TITLES["instruction_following"])
    scale = scale_of(found)
    for series in found:
        draw_line(axes, series, factor=scale.factor)
    axes.set_ylabel(f"{_if_label(summaries)}{scale.unit}", fontsize=8)
    finish(axes, "shaded: 95% at each λ", summaries)
    return figure


def trade_off(summaries: Sequence[Summary], asked: Sequence[Axis] = ()) -> Picture | None:
    """Two averages against each other; the Pareto front is drawn heavy, λ written beside.

    Args:
        summaries: of the runs.
        asked: of one run, what was made best and what was kept; default: ICL and IF.
    """
    figure, axes = one_panel("What is gained, and what is kept" if asked else TITLES["trade_off"])
    if len(asked) == 2:
        best, kept = asked
        up, across = Scale.of(best.values), Scale.of(kept.values)
        y, x = up.factor * np.array(best.values), across.factor * np.array(kept.values)
        draw_plane(axes, summaries[0], y, x, Plane(0, less=kept.less))
        less = ", less is better" if kept.less else ""
        axes.set_xlabel(f"{short(kept.name, 40)}{across.unit}{less}")
        axes.set_ylabel(f"{short(best.name, 40)}{up.unit}")
    elif not asked:
        up, across = (scale_of(series_of(summaries, name, "value")) for name in ("ICL", "IF"))
        for number, summary in enumerate(summaries):
            icl, followed = summary.curve("ICL"), summary.curve("IF")
            if icl and followed:
                plane = Plane(number, tip_id(number, summary.curves.index(icl), "plane"))
                y, x = up.factor * icl.value.estimate, across.factor * followed.value.estimate
                draw_plane(axes, summary, y, x, plane)
        axes.set_xlabel(f"{_if_label(summaries)}{across.unit}")
        axes.set_ylabel(f"ICL: mean over few-shot tasks{up.unit}")
    if not axes.lines:
        return None
    axes.margins(0.1)
    name_points(axes)
    finish(axes, "filled: no other λ is better in both")
    return figure


def cost(summaries: Sequence[Summary]) -> Picture | None:
    """Score against tokens of an answer, with intervals both ways; the front is drawn heavy.

    As in the studies of models between thinking and instruct ones (arXiv 2510.10977, 2509.22034).
    """
    figure, axes = one_panel(TITLES["cost"])
    for number, summary in enumerate(summaries):
        if summary.costs is None:
            continue
        score, tokens = summary.costs.score, summary.costs.tokens
        plane = Plane(number, tip_id(number, "costs", "cost"), less=True)
        draw_plane(axes, summary, score.estimate, tokens.estimate, plane)
        axes.errorbar(
            tokens.estimate,
            score.estimate,
            xerr=np.abs([tokens.low - tokens.estimate, tokens.high - tokens.estimate]),
            yerr=np.abs([score.low - score.estimate, score.high - score.estimate]),
            fmt="none",
            ecolor=GREY,
            elinewidth=0.7,
            alpha=0.7,
            zorder=0,
        )
    if not axes.lines:
        return None
    axes.set_xlabel("tokens of an answer, thinking included: mean over tasks that generate")
    axes.set_ylabel("score: mean over the same tasks")
    axes.margins(0.1)
    name_points(axes)
    finish(axes, "filled: no other λ scores higher with fewer tokens; bars: 95% at each λ")
    return figure


def _if_label(summaries: Sequence[Summary]) -> str:
    """What IF is, where all runs measure it alike."""
    kinds = {summary.instruction for summary in summaries if summary.curve("IF")}
    alike = kinds.pop() if len(kinds) == 1 else ""
    return f"IF: {short(alike, 40)}" if alike else "IF: mean over instruction tasks"


def small_multiples(summaries: Sequence[Summary], kind: str) -> Picture | None:
    """One panel per category or task: the difference to λ = 1 with intervals.

    Args:
        summaries: overlaid.
        kind: ``category`` or ``task``.
    """
    names = list(
        dict.fromkeys(
            curve.name
            for summary in summaries
            for curve in summary.curves
            if curve.to_instruct
            and (curve.kind == kind or (kind, curve.kind) == ("category", "suite"))
        )
    )
    names = [name for name in names if kind == "task" or name.startswith("category ")]
    if not names:
        return None
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    size = (max(2.3 * columns + 0.6, 4.2), max(1.9 * rows + 0.8, 3.2))  # the labels need as much
    figure = Picture(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        for series in series_of(summaries, name, "to_instruct"):
            draw_line(axes, series, factor=100, size=3)
        mark_knots(axes, summaries)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.set_title(short(name.removeprefix("category "), 26), fontsize=8)
        axes.tick_params(labelsize=7, labelbottom=True)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    figure.supxlabel(lam_axis(summaries), fontsize=9)
    shown = [curve for summary in summaries for curve in summary.curves if curve.name in names]
    figure.supylabel(f"{_difference(shown, _against(summaries))}, with 95% at each λ", fontsize=9)
    if len(summaries) > 1:
        named: dict[str, Artist] = {}  # a run may be in some of the panels only
        for axes in panels:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                named.setdefault(label, handle)
        figure.legend([*named.values()], [*named], loc="outside upper center", fontsize=8)
    return figure


def _against(summaries: Sequence[Summary]) -> str:
    """The λ that differences are to; one for all runs."""
    return f"{summaries[0].against:g}"


def _difference(curves: Sequence[Curve], one: str) -> str:
    """What is drawn of tasks: points are of fractions, a log-likelihood has none."""
    values = np.concatenate([curve.value.estimate for curve in curves])
    fractions = ((values >= 0) & (values <= 1)).all()
    return f"points over λ = {one}" if fractions else f"100 · (value(λ) − value({one}))"


def heat_map(summary: Summary) -> Picture | None:
    """Tasks × λ: points over λ = 1; a dot where 0 is outside (`summary.cells`)."""
    curves = [curve for curve in summary.curves if curve.kind == "task" and curve.to_instruct]
    if not curves:
        return None
    found = [curve.to_instruct for curve in curves if curve.to_instruct]
    values = 100 * np.array([each.estimate for each in found])
    apart = np.array([curve.outside for curve in curves])
    few_shot = [curve.few_shot for curve in curves]
    # The few-shot tasks set the scale: instruction following moves by tens of points.
    most = max(float(np.abs(values[few_shot] if any(few_shot) else values).max()), 0.1)
    size = (1.9 + 0.48 * len(summary.lams) + 0.9, max(1.2 + 0.27 * len(curves), 2.2))
    figure = Picture(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap=_DIVERGING, vmin=-most, vmax=most, aspect="auto")
    for row, column in np.ndindex(*values.shape):
        text = f"{values[row, column]:+.1f}{'•' if apart[row, column] else ''}"
        dark = abs(values[row, column]) > 0.6 * most
        colour = "white" if dark else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
    places = [place_name(summary, lam).replace(" ", "\n") for lam in summary.lams]
    axes.set_xticks(range(len(summary.lams)), places, fontsize=8)
    names = [short(curve.name, 30) for curve in curves]
    axes.set_yticks(range(len(curves)), names, fontsize=8)
    axes.set_xlabel("λ")
    what = _difference(curves, _against([summary]))
    axes.set_title(f"{what[0].upper()}{what[1:]} — {label_of(summary)}", fontsize=10)
    figure.colorbar(image, ax=axes, extend="both").set_label(what, fontsize=8)
    figure.supxlabel(f"• 0 is outside, at 95% for all {summary.cells} differences", fontsize=7)
    return figure


def calibration(summaries: Sequence[Summary]) -> Picture | None:
    """Calibration error and Brier score against λ, means over multiple-choice tasks."""
    if not asides_of(summaries, "calibration"):
        return None
    figure = Picture(figsize=(WIDTH * 1.35, 3.4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, name, label in zip(
        panels,
        ("calibration", "brier"),
        ("calibration error (15 bins)", "Brier score"),
        strict=True,
    ):
        for series in asides_of(summaries, name):
            draw_line(axes, series, size=4)
        axes.set_ylabel(f"{label}, less is better")
        axes.set_xlabel("λ")
        draw_grid(axes)
    if len(summaries) > 1:
        panels[0].legend(fontsize=8)
    figure.suptitle("Calibration of the option probabilities, with 95% at each λ", fontsize=11)
    return figure
