"""The verbs that put results beside others' numbers and hand them on: compare, export-results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.cli.verb import add_verb
from pa_harness.errors import RunError
from pa_harness.interchange.records import FORMATS as RECORDS
from pa_harness.interchange.records import export_results
from pa_harness.leaderboards.boards import NAMES
from pa_harness.leaderboards.comparison import Names
from pa_harness.leaderboards.reading import read_results
from pa_harness.leaderboards.sections import named_references, sections
from pa_harness.leaderboards.text import FORMATS, as_text
from pa_harness.storage import write_text

if TYPE_CHECKING:
    import argparse


def add_compare_verbs(verbs: Any) -> None:
    """Add this module's verbs to the command's parser."""
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
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write it there instead")
    _add_export(verbs)


def _add_export(verbs: Any) -> None:
    parser = add_verb(
        verbs,
        "export-results",
        export,
        "records of results that other tools read, a folder for each λ; nothing is uploaded",
        "export-results runs/first --format every_eval_ever",
    )
    parser.add_argument("results", type=Path, metavar="RESULTS|RUN")
    parser.add_argument("--format", choices=RECORDS, required=True)
    parser.add_argument("--output_path", "-o", type=Path, help="default: RUN/export")
    parser.add_argument("--name", default="", metavar="NAME", help="of the model, without λ")


def compare(options: argparse.Namespace) -> int:
    """Print the comparison, or write it."""
    boards, references = named_references(options.to)
    names = Names(options.base, options.instruct, options.model)
    found = sections(read_results(options.results), boards, references, names)
    text = as_text(found, options.format)
    if options.output:
        try:
            write_text(options.output, f"{text}\n")
        except OSError as error:
            raise _unwritable(options.output, error) from None
        print(options.output)
    else:
        print(text)
    return 0


def export(options: argparse.Namespace) -> int:
    """Write the records; print their paths."""
    beside = options.results if options.results.is_dir() else options.results.parent
    folder = options.output_path or beside / "export"
    try:
        files = export_results(options.results, options.format, folder, options.name)
    except OSError as error:
        raise _unwritable(folder, error) from None
    for file in files:
        print(file)
    return 0


def _unwritable(place: Path, error: OSError) -> RunError:
    return RunError(f"{place} cannot be written: {error.strerror}. Name another place.")
