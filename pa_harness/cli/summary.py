"""The verb summary: a run's differences along λ."""

from __future__ import annotations

import argparse

from pa_harness.cli.verb import Verbs, add_against, add_instruction, add_run_folder, add_verb, keep
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.tables import FORMATS


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    parser = add_verb(
        verbs,
        "summary",
        summary,
        "differences to λ = 1 and λ = 0, paired by document, with intervals; writes summary.json",
        "summary runs/first",
    )
    add_run_folder(parser)
    parser.add_argument(
        "--format", choices=FORMATS, help="write the table of scores in this form, too"
    )
    add_instruction(parser)
    add_against(parser)


def summary(options: argparse.Namespace) -> int:
    """Print a run's differences; write them beside it."""
    from pa_harness.analysis.pairs.ledger import ledger
    from pa_harness.analysis.reading import read_trajectory
    from pa_harness.analysis.summary import summarise
    from pa_harness.report.ledger import ledger_text
    from pa_harness.report.text import summary_text

    trajectory = read_trajectory(options.run_folder, options.instruction)
    found = summarise(trajectory, options.against)
    print(summary_text(found))
    print(f"\nLost and won, by document:\n\n{ledger_text(ledger(trajectory))}")
    keep(options.run_folder / "summary.json", found)
    if options.format:
        RunFolder(options.run_folder).write_scores(trajectory.scores, options.format)
    return 0
