"""The verbs that look at a run: summary, choose, plot, report."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from pa_harness.cli.verb import Verbs, add_verb
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.tables import FORMATS
from pa_harness.storage import plain, write_json


def add_run_verbs(verbs: Verbs) -> None:
    """Add this module's verbs to the command's parser."""
    _add_summary(verbs)
    _add_choose(verbs)
    _add_pages(verbs)
    for name in ("summary", "choose", "plot", "report"):
        verbs.choices[name].add_argument(
            "--instruction",
            nargs="+",
            default=(),
            metavar="TASK|JUDGE",
            help="what IF is the mean of: tasks such as ifeval, or judges (folders in "
            "RUN/judgements); their beginnings do; default: all such tasks, or the only judge",
        )


def _add_summary(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "summary",
        summary,
        "differences to λ = 1 and λ = 0, paired by document, with intervals; writes summary.json",
        "summary runs/first",
    )
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="--output_path of a sweep")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the resampling")
    parser.add_argument(
        "--format", choices=FORMATS, help="write the table of scores in this form, too"
    )


def summary(options: argparse.Namespace) -> int:
    """Print a run's differences; write them beside it."""
    from pa_harness.analysis.reading import read_trajectory
    from pa_harness.analysis.summary import summarise
    from pa_harness.report.text import summary_text

    trajectory = read_trajectory(options.run_folder, options.instruction)
    found = summarise(trajectory, seed=options.seed)
    write_json(options.run_folder / "summary.json", plain(found))
    if options.format:
        RunFolder(options.run_folder).write_scores(trajectory.scores, options.format)
    print(summary_text(found))
    return 0


def _add_choose(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "choose",
        choose,
        "choose λ, with the gain that is to be expected of it; writes choice.json",
        "choose runs/first --tolerance 0.02 --weights ICL=0.7 IF=0.3",
    )
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="--output_path of a sweep")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.02,
        metavar="ε",
        help="share of IF(1) that may be lost in the constrained choice (default: 0.02)",
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        type=_weight,
        metavar="NAME=WEIGHT",
        help="of an average of your own, over tasks, categories, ICL and IF",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the resampling")


def _weight(text: str) -> tuple[str, float]:
    name, _, weight = text.rpartition("=")
    try:
        return name, float(weight)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NAME=WEIGHT, not {text!r}") from None


def choose(options: argparse.Namespace) -> int:
    """Print the choices of a run; write them beside it."""
    from pa_harness.analysis.choice import choose as choose_lam
    from pa_harness.analysis.reading import read_trajectory
    from pa_harness.report.text import choices_text

    trajectory = read_trajectory(options.run_folder, options.instruction)
    found = choose_lam(
        trajectory,
        tolerance=options.tolerance,
        weights=dict(options.weights or ()),
        seed=options.seed,
    )
    write_json(options.run_folder / "choice.json", plain(found))
    print(choices_text(found))
    return 0


def _add_pages(verbs: Verbs) -> None:
    draw = add_verb(
        verbs,
        "plot",
        plot,
        "the figures of a run, or of several overlaid, as SVG and PNG",
        "plot runs/first runs/second --output_path figures",
    )
    draw.add_argument("run_folders", type=Path, nargs="+", metavar="RUN")
    draw.add_argument("--output_path", "-o", type=Path, help="default: RUN/figures of one run")
    page = add_verb(
        verbs,
        "report",
        report,
        "figures and report.html of a run: one page, to read without a network",
        "report runs/first",
    )
    page.add_argument("run_folder", type=Path, metavar="RUN")


def plot(options: argparse.Namespace) -> int:
    """Draw the figures; print their paths."""
    from pa_harness.analysis.reading import read_trajectory
    from pa_harness.analysis.summary import summarise
    from pa_harness.report.figures import all_figures, write_figures

    runs: list[Path] = options.run_folders
    folder = options.output_path or (runs[0] / "figures" if len(runs) == 1 else Path("figures"))
    summaries = [summarise(read_trajectory(run, options.instruction)) for run in runs]
    if len({summary.label for summary in summaries}) < len(runs):  # pairs of the same names
        pairs = zip(summaries, runs, strict=True)
        summaries = [replace(each, label=f"{run}: {each.label}") for each, run in pairs]
    tasks = [{curve.name for curve in each.curves if curve.kind == "task"} for each in summaries]
    if any(names != tasks[0] for names in tasks):
        print("The runs' tasks differ: so do those that ICL and IF are means of.", file=sys.stderr)
    for path in write_figures(all_figures(summaries), folder):
        print(path)
    return 0


def report(options: argparse.Namespace) -> int:
    """Write a run's figures and page."""
    from pa_harness.report.publish import publish

    print("\n".join(publish(options.run_folder, options.instruction)))
    print(f"Report: {options.run_folder / 'report.html'}")
    return 0
