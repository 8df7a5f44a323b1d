"""The verb export-results: a run's numbers as other tools read them."""

from __future__ import annotations

import argparse
from pathlib import Path

from pa_harness.cli.verb import (
    Verbs,
    add_output,
    add_verb,
    say,
    unwritable,
)
from pa_harness.interchange.records import FORMATS
from pa_harness.interchange.records import export_results as write_records
from pa_harness.runs.folder import RunFolder


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    parser = add_verb(
        verbs,
        "export-results",
        export_results,
        "records of results that other tools read, a folder for each λ; nothing is uploaded",
        "export-results runs/first --format every_eval_ever",
    )
    parser.add_argument("results", type=Path, metavar="RESULTS|RUN")
    parser.add_argument("--format", choices=FORMATS, required=True)
    add_output(parser, "default: RUN/export")
    parser.add_argument("--name", default="", metavar="NAME", help="of the model, without λ")


def export_results(options: argparse.Namespace) -> int:
    """Write the records; print their paths."""
    beside = options.results if options.results.is_dir() else options.results.parent
    folder = options.output_path or beside / "export"
    say(RunFolder(beside).check() if beside is options.results else ())
    try:
        files = write_records(options.results, options.format, folder, options.name)
    except OSError as error:
        raise unwritable(folder, error) from None
    for file in files:
        print(file)
    return 0
