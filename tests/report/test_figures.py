"""Figures: what stands in them is what the summary says; same numbers, same bytes."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
from simulated import LAMS, Design, simulate, trajectory, truth

from pa_harness.analysis.pairs.ledger import ledger
from pa_harness.analysis.summary import Summary, summarise
from pa_harness.analysis.trajectory import Trajectory
from pa_harness.report.figures import all_figures, write_figures
from pa_harness.report.ledger import ledger_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes


@pytest.fixture(scope="module")
def whole() -> Trajectory:
    random = np.random.default_rng(0)
    few_shot = trajectory(truth("peak", 3), 60, random, "reading").tasks
    followed = trajectory(truth("rise", 1), 60, random, "instruction").tasks
    values = few_shot[0].values
    more = {
        "hit,options": values,
        "confidence,options": random.random(values.shape),
        "brier,options": random.random(values.shape),
    }
    odd = replace(few_shot[0], name="a $x$ <b>", counted="a $x$ <b>", more=more)
    return Trajectory("B → I", LAMS, (odd, *few_shot[1:], *followed), ())


@pytest.fixture(scope="module")
def summary(whole: Trajectory) -> Summary:
    return summarise(whole)


def axes_of(summaries: list[Summary], name: str) -> Axes:
    return all_figures(summaries)[name].axes[0]


def test_lines_are_the_estimates_and_bands(summary: Summary) -> None:
    curve = summary.curve("ICL")
    assert curve is not None
    assert curve.fractional is not None
    lines = axes_of([summary], "icl").lines
    np.testing.assert_array_equal(lines[0].get_xdata(), LAMS)
    np.testing.assert_array_equal(lines[0].get_ydata(), curve.fractional.estimate)
    np.testing.assert_array_equal(lines[1].get_ydata(), curve.fractional.band_low)
    np.testing.assert_array_equal(lines[2].get_ydata(), curve.fractional.band_high)


def test_several_runs_lie_over_each_other_without_their_bands(summary: Summary) -> None:
    other = replace(summary, label="other")
    axes = axes_of([summary, other], "icl")
    assert [line.get_label() for line in axes.lines][:2] == ["B → I", "other"]
    first, second = axes.lines[:2]
    assert first.get_marker() != second.get_marker()
    assert first.get_linestyle() != second.get_linestyle()
    assert {"heat_map_1", "heat_map_2"} <= all_figures([summary, other]).keys()


def test_the_names_of_points_keep_off_lines_and_each_other(summary: Summary) -> None:
    """A path that turns back on itself: the nearest place up and right is often taken."""
    icl, followed = summary.curve("ICL"), summary.curve("IF")
    assert icl is not None
    assert followed is not None
    y = np.array([283, 325, 358, 342, 392, 367, 342, 350, 275, 300, 267]) / 10_000 + 0.5
    x = np.array([-3.32, -3.01, -2.72, -2.47, -2.28, -2.15, -2.06, -2.01, -1.98, -1.99, -2.02])
    curves = [
        replace(icl, value=replace(icl.value, estimate=y)),
        replace(followed, value=replace(followed.value, estimate=x)),
    ]
    axes = axes_of([replace(summary, curves=tuple(curves))], "trade_off")
    figure = axes.figure
    figure.canvas.draw()
    boxes = [text.get_window_extent().shrunk(0.9, 0.6) for text in axes.texts]
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])
    markers = axes.transData.transform(np.column_stack([x, y]))
    assert not any(box.contains(*marker) for box in boxes for marker in markers)
    assert len({tuple(text.get_position()) for text in axes.texts}) > 1


def test_every_run_is_in_the_legend_of_small_panels(summary: Summary) -> None:
    curves = tuple(curve for curve in summary.curves if curve.name == summary.curves[-1].name)
    other = replace(summary, label="other", curves=curves)
    (legend,) = all_figures([other, summary])["tasks"].legends
    assert [text.get_text() for text in legend.get_texts()] == ["other", "B → I"]


def test_points_are_of_fractions(summary: Summary) -> None:
    def titles(shown: Summary) -> tuple[str, str]:
        figures = all_figures([shown])
        return figures["tasks"].get_supylabel(), figures["heat_map"].axes[0].get_title()

    assert titles(summary) == ("points over λ = 1, with 95% at each λ", "Points over λ = 1 — B → I")
    curves = [
        replace(curve, value=replace(curve.value, estimate=curve.value.estimate - 2))
        for curve in summary.curves
    ]
    likelihoods = titles(replace(summary, curves=tuple(curves)))
    assert likelihoods[0].startswith("100 · (value(λ) − value(1)), with")
    assert likelihoods[1].startswith("100 · (value(λ) − value(1)) — ")


def test_the_trade_off_names_every_lam_and_fills_the_front(summary: Summary) -> None:
    axes = axes_of([summary], "trade_off")
    assert [text.get_text() for text in axes.texts] == [f"{lam:g}" for lam in LAMS]
    icl, followed = summary.curve("ICL"), summary.curve("IF")
    assert icl is not None
    assert followed is not None
    x, y = 100 * followed.value.estimate, 100 * icl.value.estimate
    points = list(zip(x, y, strict=True))
    front = sorted(
        (a, b)
        for a, b in points
        if not any(c >= a and d >= b and (c, d) != (a, b) for c, d in points)
    )
    drawn = list(zip(axes.lines[1].get_xdata(), axes.lines[1].get_ydata(), strict=True))
    assert drawn == front


def test_the_heat_map_shows_points_and_what_leaves_its_band(summary: Summary) -> None:
    figure = all_figures([summary])["heat_map"]
    texts = [text.get_text() for text in figure.axes[0].texts]
    tasks = [curve for curve in summary.curves if curve.kind == "task"]
    expected = []
    for curve in tasks:
        each = curve.to_instruct
        assert each is not None
        for value, clear in zip(each.estimate, curve.outside, strict=True):
            expected.append(f"{100 * value:+.1f}{'•' if clear else ''}")
    assert texts == expected


def test_a_figure_without_data_is_not_drawn(whole: Trajectory) -> None:
    inner = [replace(task, values=task.values[:2], more={}) for task in whole.tasks[:2]]
    bare = summarise(Trajectory("x", LAMS[:2], tuple(inner), ()))
    assert set(all_figures([bare])) == {"overview"}


def test_names_of_any_length_have_a_place(whole: Trajectory, tmp_path: Path) -> None:
    tasks = tuple(
        replace(t, name=n * 120, counted=n * 120) for t, n in zip(whole.tasks, "ab", strict=False)
    )
    long = replace(summarise(replace(whole, tasks=tasks)), label="c" * 500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a layout that failed
        write_figures(all_figures([long, long]), tmp_path)
        write_figures(all_figures([long]), tmp_path)


def test_a_judges_whole_name_does_not_leave_the_figure(summary: Summary) -> None:
    """A label that is longer than its axis is cut off at the figure's edge."""
    name = "weighted_alpaca_eval_gpt4_turbo-Qwen_Qwen3-30B-A3B-vs-gpt4-4af3a3e2 (win_rate)"
    figure = all_figures([replace(summary, instruction=name)])["instruction_following"]
    figure.draw_without_rendering()
    label = figure.axes[0].yaxis.label
    assert label.get_text().startswith("IF: weighted_alpaca_eval")
    place = label.get_window_extent()
    assert 0 <= place.y0 < place.y1 <= figure.bbox.height


def test_files_are_the_same_each_time_and_hold_names_as_they_are(
    summary: Summary, tmp_path: Path
) -> None:
    first = write_figures(all_figures([summary]), tmp_path / "a")
    second = write_figures(all_figures([summary]), tmp_path / "b")
    assert {path.suffix for path in first} == {".svg", ".png", ".pdf"}
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    for path in first:
        if path.suffix == ".svg":
            ElementTree.parse(path)
    assert "a $x$ &lt;b&gt;" in (tmp_path / "a" / "tasks.svg").read_text()


@pytest.mark.parametrize("baseline", [float("nan"), 0.25])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("step", [1, 5])
def test_the_ledgers_figure_says_what_it_shows(baseline: float, count: int, step: int) -> None:
    """No dash is explained where there is none; ticks are λ; the label is not cut off."""
    tasks = simulate(Design(50), truth("peak", count), np.random.default_rng(0)).tasks
    tasks = tuple(replace(t, values=t.values[::step], baseline=baseline) for t in tasks)
    figure = ledger_figure(ledger(Trajectory("x", LAMS[::step], tasks, ())), "λ")
    assert figure is not None
    figure.draw_without_rendering()
    assert ("dash" in figure.get_suptitle()) == (baseline == 0.25)
    for axes in figure.axes:
        ticks = axes.get_xticks()
        assert -1e-9 <= min(ticks) < max(ticks) <= 1 + 1e-9
        assert min(axes.get_xlim()) < 0 < 1 < max(axes.get_xlim())
    for text in figure.texts:
        box = text.get_window_extent()
        assert 0 <= box.y0 < box.y1 <= figure.bbox.height
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
