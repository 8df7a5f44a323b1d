"""The verb compare: results beside published numbers."""

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
from pa_harness.leaderboards.boards import NAMES
from pa_harness.leaderboards.comparison import Names
from pa_harness.leaderboards.findings import MARGIN
from pa_harness.leaderboards.reading import read_results
from pa_harness.leaderboards.sections import named_references, sections
from pa_harness.leaderboards.text import FORMATS, as_text
from pa_harness.runs.folder import RunFolder
from pa_harness.storage import write_text


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    parser = add_verb(
        verbs,
        "compare",
        compare,
        "results beside published leaderboard numbers: differences, verdicts, ranks",
        "compare runs/first --to open_llm_v1 --base google/gemma-2b --instruct google/gemma-2b-it",
    )
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        metavar="RESULTS|RUN",
        help="results files of lm-eval, folders of them, sweeps, Every Eval Ever records, tables",
    )
    parser.add_argument(
        "--to",
        nargs="+",
        default=[],
        metavar="LEADERBOARD|FILE",
        help=f"{', '.join(NAMES)}, or any of the kinds above; default: all that share a task",
    )
    for end in ("base", "instruct", "model"):
        parser.add_argument(f"--{end}", default="", metavar="NAME", help="its published name")
    parser.add_argument(
        "--margin",
        type=float,
        default=MARGIN,
        metavar="δ",
        help="a number is reproduced within this fraction (default: %(default)g, one point)",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    add_output(parser, "write it there (default: print it)", "--output", metavar="FILE")


def compare(options: argparse.Namespace) -> int:
    """Print the comparison, or write it."""
    boards, references = named_references(options.to)
    names = Names(options.base, options.instruct, options.model)
    for path in options.results:
        say(RunFolder(path).check())
    found = sections(read_results(options.results), boards, references, names, options.margin)
    text = as_text(found, options.format)
    if options.output_path:
        try:
            write_text(options.output_path, f"{text}\n")
        except OSError as error:
            raise unwritable(options.output_path, error) from None
        print(options.output_path)
    else:
        print(text)
    return 0
