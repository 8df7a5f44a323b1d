"""The verb plot: the figures of a run, or of several overlaid."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from pa_harness.cli.verb import (
    Verbs,
    add_against,
    add_instruction,
    add_output,
    add_verb,
    say,
)


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    parser = add_verb(
        verbs,
        "plot",
        plot,
        "the figures of a run, or of several overlaid, as SVG and PNG",
        "plot runs/first runs/second --output_path figures",
    )
    parser.add_argument("run_folders", type=Path, nargs="+", metavar="RUN")
    add_output(parser, "default: RUN/figures of one run, figures of several")
    add_instruction(parser)
    add_against(parser)


def plot(options: argparse.Namespace) -> int:
    """Draw the figures; print their paths."""
    from pa_harness.analysis.reading import read_trajectory
    from pa_harness.analysis.summary import summarise
    from pa_harness.report.figures import all_figures, write_figures

    runs: list[Path] = options.run_folders
    folder = options.output_path or (runs[0] / "figures" if len(runs) == 1 else Path("figures"))
    trajectories = [read_trajectory(run, options.instruction) for run in runs]
    say(note for each in trajectories for note in each.notes)
    summaries = [summarise(each, options.against) for each in trajectories]
    if len({summary.label for summary in summaries}) < len(runs):  # pairs of the same names
        pairs = zip(summaries, runs, strict=True)
        summaries = [replace(each, label=f"{run}: {each.label}") for each, run in pairs]
    tasks = [{curve.name for curve in each.curves if curve.kind == "task"} for each in summaries]
    if any(names != tasks[0] for names in tasks):
        print("The runs' tasks differ: so do those that ICL and IF are means of.", file=sys.stderr)
    for path in write_figures(all_figures(summaries), folder):
        print(path)
    return 0
