"""The verb compare: evaluations against each other, or beside published numbers."""

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
from pa_harness.errors import RunError, did_you_mean, listed
from pa_harness.leaderboards.boards import NAMES
from pa_harness.leaderboards.comparison import Names
from pa_harness.leaderboards.findings import MARGIN
from pa_harness.leaderboards.reading import read_results
from pa_harness.leaderboards.sections import named_references, sections
from pa_harness.leaderboards.text import FORMATS as BOARD_FORMATS
from pa_harness.leaderboards.text import as_text
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.tables import write_table
from pa_harness.storage import write_text

_FORMATS = (*BOARD_FORMATS, "html")


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    parser = add_verb(
        verbs,
        "compare",
        compare,
        "two evaluations or more, document by document; or one beside published numbers",
        "compare out/parent out/mine        # lm_eval --log_samples, or runs/first@0 runs/first@0.6"
        "\n  pa-harness compare runs/first --to open_llm_v1 --base google/gemma-2b",
    )
    parser.add_argument(
        "results",
        nargs="+",
        metavar="RESULTS|RUN@λ",
        help="several: each against the first, by document (folders of lm_eval --log_samples, "
        "runs@λ). One, or with --to: beside published numbers (results files of lm-eval, folders "
        "of them, sweeps, Every Eval Ever records, tables)",
    )
    pairs = parser.add_argument_group("several evaluations")
    pairs.add_argument(
        "--metrics",
        nargs="+",
        default=[],
        type=_metric,
        metavar="TASK=METRIC",
        help="to compare, or METRIC,FILTER; default: the task's main one, else its first",
    )
    pairs.add_argument(
        "--unpaired",
        action="store_true",
        help="means as of different documents, where prompts, shots or documents differ",
    )
    pairs.add_argument(
        "--documents",
        type=Path,
        metavar="FILE",
        help="write every document that changed there, with both answers (.csv, .jsonl, .parquet)",
    )
    boards = parser.add_argument_group("beside published numbers")
    boards.add_argument(
        "--to",
        nargs="+",
        default=[],
        metavar="LEADERBOARD|FILE",
        help=f"{', '.join(NAMES)}, or any of the kinds above; default: all that share a task",
    )
    for end in ("base", "instruct", "model"):
        boards.add_argument(f"--{end}", default="", metavar="NAME", help="its published name")
    boards.add_argument(
        "--margin",
        type=float,
        default=MARGIN,
        metavar="δ",
        help="a number is reproduced within this fraction (default: %(default)g, one point)",
    )
    parser.add_argument("--format", choices=_FORMATS, default="text", help="default: text")
    add_output(parser, "write it there (default: print it)", "--output", metavar="FILE")


def _metric(text: str) -> tuple[str, str]:
    task, _, key = text.partition("=")
    if not (task and key):
        raise argparse.ArgumentTypeError(
            f"expected TASK=METRIC, as arc_easy=acc_norm, not {text!r}"
        )
    return task, key


def compare(options: argparse.Namespace) -> int:
    """Print the comparison, or write it."""
    text = _pairs(options) if _several(options) else _boards(options)
    if options.output_path:
        try:
            write_text(options.output_path, f"{text}\n")
        except OSError as error:
            raise unwritable(options.output_path, error) from None
        print(options.output_path)
    else:
        print(text)
    return 0


def _several(options: argparse.Namespace) -> bool:
    """Whether evaluations are held against each other.

    Raises:
        RunError: options of the one kind with the other.
    """
    named = any((options.to, options.base, options.instruct, options.model))
    several = len(options.results) > 1 and not named
    if not several:
        only = [name for name in ("metrics", "unpaired", "documents") if getattr(options, name)]
        if only:
            raise RunError(
                f"--{only[0]} is for several evaluations: name two or more, without --to, --base, "
                "--instruct and --model."
            )
        if options.format not in BOARD_FORMATS:
            raise RunError(
                f"--format {options.format} is for several evaluations. Beside published numbers: "
                f"{', '.join(BOARD_FORMATS)}."
            )
    return several


def _pairs(options: argparse.Namespace) -> str:
    from pa_harness.analysis.pairs.changes import changes
    from pa_harness.analysis.pairs.comparison import compare as compare_all
    from pa_harness.analysis.pairs.rows import Change
    from pa_harness.interchange.sample_logs import read_evaluations
    from pa_harness.report.compared import as_text as compared_text

    metrics = dict(options.metrics)
    read = read_evaluations(options.results, metrics, all_clustered=options.unpaired)
    known = list(dict.fromkeys(task for each in read for task in each.tasks))
    for task, key in metrics.items():
        if task not in known:
            hint = did_you_mean(task, known)
            raise RunError(f"--metrics {task}={key}: no such task. {hint} Known:\n{listed(known)}")
    found = compare_all(read, paired=not options.unpaired)
    if options.documents:
        write_table(Change, changes(read), options.documents)
        say([f"Documents: {options.documents}"])
    if options.format in ("csv", "json"):
        say(found.notes)
    return compared_text(found, options.format)


def _boards(options: argparse.Namespace) -> str:
    boards, references = named_references(options.to)
    names = Names(options.base, options.instruct, options.model)
    paths = [Path(text) for text in options.results]
    for path in paths:
        say(RunFolder(path).check())
    found = sections(read_results(paths), boards, references, names, options.margin)
    return as_text(found, options.format)
