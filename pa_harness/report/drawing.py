"""The parts of figures: styles, a curve with its intervals, the plane of two averages, captions.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), told apart by colour-blind
readers; runs differ in marker and line as well, for print in grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation

from pa_harness.analysis.intervals import Intervals
from pa_harness.markdown import Scale
from pa_harness.report.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from pa_harness.analysis.intervals import Pointwise
    from pa_harness.analysis.summary import Summary

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", "--", "-.", ":")
GREY = "#666666"
# Where the name of a point may stand, in points from it, the best place first; and how far from
# everything else is far enough.
_AROUND = ((9, 8), (-9, 8), (9, -8), (-9, -8), (0, 11), (0, -11), (13, 0), (-13, 0))
_CLEAR = 10.0
WIDTH = 6.4  # inches, of a figure with one panel
LAM_AXIS = "adaptation strength λ   (0 = base, 1 = instruct)"
_MINE_AXIS = "adaptation strength λ   (0 = its parent, 1 = your fine-tune)"


@dataclass(frozen=True)
class Series:
    """Numbers of one run along λ, as the `number`th run of a figure.

    Its markers stand in an SVG group whose id, `gid`, says which numbers they are (`tip_id`).
    """

    summary: Summary
    found: Pointwise
    number: int
    gid: str


def series_of(summaries: Sequence[Summary], name: str, which: str) -> list[Series]:
    """Of every run that has them, the numbers in the field `which` of its curve of that name."""
    found = []
    for number, summary in enumerate(summaries):
        curve = summary.curve(name)
        if curve and getattr(curve, which):
            gid = tip_id(number, summary.curves.index(curve), which)
            found.append(Series(summary, getattr(curve, which), number, gid))
    return found


def scale_of(found: Sequence[Series]) -> Scale:
    """In which the runs' values are drawn: one for all."""
    return Scale.of(value for series in found for value in series.found.estimate)


def asides_of(summaries: Sequence[Summary], name: str) -> list[Series]:
    """Of every run that has it, what stands beside the scores under that name."""
    return [
        Series(summary, summary.aside[name], number, tip_id(number, name, "aside"))
        for number, summary in enumerate(summaries)
        if name in summary.aside
    ]


def tip_id(number: int, place: int | str, which: str) -> str:
    """The id of the SVG group with the markers of one run's numbers.

    Args:
        number: of the run in the figure.
        place: of a curve in its summary, or the name of what stands beside the scores.
        which: a field of the curve; ``plane``; or ``aside``.
    """
    return f"tip-{number}-{place}-{which}"


def one_panel(title: str) -> tuple[Picture, Axes]:
    """A figure with one panel."""
    figure = Picture(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    return figure, axes


def style_of(number: int, size: float) -> dict[str, Any]:
    """Colour, marker and line of the `number`th run; marker size in points."""
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "marker": _MARKERS[number % len(_MARKERS)],
        "linestyle": _LINES[number % len(_LINES)],
        "markersize": size,
        "linewidth": 1.4,
    }


def draw_line(
    axes: Axes, series: Series, *, band: bool = False, factor: float = 1, size: float = 5
) -> None:
    """A curve with its pointwise intervals shaded.

    Args:
        axes: where.
        series: what.
        band: draw the simultaneous band as dotted lines, too.
        factor: on all numbers (100 for points).
        size: of markers, in points.
    """
    summary, found = series.summary, series.found
    style = style_of(series.number, size)
    (line,) = axes.plot(summary.lams, factor * found.estimate, **style, label=label_of(summary))
    line.set_gid(series.gid)
    axes.fill_between(
        summary.lams,
        factor * found.low,
        factor * found.high,
        color=line.get_color(),
        alpha=0.18,
        linewidth=0,
    )
    if band and isinstance(found, Intervals):
        for edge in (found.band_low, found.band_high):
            axes.plot(
                summary.lams, factor * edge, color=line.get_color(), linestyle=":", linewidth=1
            )


@dataclass(frozen=True)
class Plane:
    """One run in a plane of two averages: its number, its markers' group, the x axis's sense."""

    number: int
    gid: str = ""
    less: bool = False  # less of what is across is better


def draw_plane(
    axes: Axes, summary: Summary, up: ArrayLike, across: ArrayLike, plane: Plane
) -> None:
    """One average over another, λ written beside each point, the Pareto front heavy and filled."""
    number, x, y = plane.number, np.asarray(across), np.asarray(up)
    good = -x if plane.less else x
    style = style_of(number, 6)
    thin = {**style, "linewidth": 0.8, "alpha": 0.6, "markerfacecolor": "white"}
    (line,) = axes.plot(x, y, **thin)
    line.set_gid(plane.gid or None)
    best = [
        not ((good >= a) & (y >= b) & ((good > a) | (y > b))).any()
        for a, b in zip(good, y, strict=True)
    ]
    order = [n for n in np.argsort(x, kind="stable") if best[n]]
    (front,) = axes.plot(x[order], y[order], **{**style, "linewidth": 2.2}, label=label_of(summary))
    front.set_gid(f"front-{number}")  # lies over the markers that have numbers
    for lam, a, b in zip(summary.lams, x, y, strict=True):
        axes.annotate(
            place_name(summary, lam),
            (a, b),
            xytext=_AROUND[0],
            textcoords="offset points",
            fontsize=8,
            color=_ink(style["color"]),
            ha="center",
            va="center",
        )


def _ink(colour: str) -> tuple[float, ...]:
    """The colour as letters have it: dark enough to be read on white (4.5 to 1 and more)."""
    return tuple(0.6 * part for part in to_rgb(colour))


def place_name(summary: Summary, lam: float) -> str:
    """λ, and on a path the checkpoint that is there."""
    is_knot = len(summary.knots) > 2 and lam in range(len(summary.knots))
    return f"{lam:g} {short(summary.knots[int(lam)], 16)}" if is_knot else f"{lam:g}"


def name_points(axes: Axes) -> None:
    """Put every annotation where it is farthest from lines, markers and the names before it."""
    axes.autoscale_view()
    figure = axes.get_figure(root=True)
    scale = 72 / figure.dpi if figure else 1.0  # points per pixel

    def place(data: Any) -> Any:
        return scale * axes.transData.transform(data)

    steps = np.linspace(0, 1, 9)[:, None]
    taken = [place(line.get_xydata()) for line in axes.lines]
    for line in axes.lines:
        corners = place(line.get_xydata())
        taken += [a + steps * (b - a) for a, b in pairwise(corners)]
    for text in axes.texts:
        if not isinstance(text, Annotation):
            continue
        others = np.concatenate(taken)
        spots = place([text.xy]) + np.array(_AROUND)
        apart = np.linalg.norm(spots[:, None] - others, axis=2).min(axis=1)
        best = int(np.minimum(apart, _CLEAR).round(3).argmax())
        text.set_position(_AROUND[best])
        taken.append(spots[[best]])


def name_fine_tune(figure: Picture) -> None:
    """Call the ends of the λ axis what they are to somebody who has fine-tuned a model."""
    for axes in figure.axes:
        if axes.get_xlabel() == LAM_AXIS:
            axes.set_xlabel(_MINE_AXIS)
    if figure.get_supxlabel() == LAM_AXIS:
        figure.supxlabel(_MINE_AXIS, fontsize=9)


def label_of(summary: Summary) -> str:
    """The run's name as a legend can hold it."""
    return short(summary.label, 60)


def short(name: str, most: int) -> str:
    """The name, its middle left out where it is too long for its place."""
    half = most // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"


def draw_grid(axes: Axes) -> None:
    """A light grid behind the data, and no box around it."""
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def lam_axis(summaries: Sequence[Summary]) -> str:
    """The name of the λ axis, with the checkpoints of a path where all runs have the same."""
    knots = {summary.knots for summary in summaries}
    if all(len(each) <= 2 for each in knots):
        return LAM_AXIS
    if len(knots) > 1:
        return "λ along the path"
    named = ", ".join(f"{n} = {short(name, 16)}" for n, name in enumerate(knots.pop()))
    return f"λ   ({named})"


def mark_knots(axes: Axes, summaries: Sequence[Summary]) -> None:
    """A thin line at every checkpoint between the ends of a path."""
    most = max((len(summary.knots) for summary in summaries), default=0)
    for number in range(1, most - 1):
        axes.axvline(number, color=GREY, linewidth=0.7, linestyle=(0, (1, 3)), zorder=0)


def finish(axes: Axes, caption: str, along: Sequence[Summary] = ()) -> None:
    """Name the λ axis, draw the grid, and put legend and caption under the panel.

    Args:
        axes: the panel.
        caption: under it.
        along: the runs whose λ is the axis; none where it is another.
    """
    if along:
        axes.set_xlabel(lam_axis(along))
        mark_knots(axes, along)
    draw_grid(axes)
    figure = axes.get_figure()
    if isinstance(figure, Picture):
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            frameon=False,
            fontsize=8,
            title=caption,
            title_fontsize=8,
        )
