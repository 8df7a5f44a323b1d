"""What verbs share: description and example, options that mean the same, and how one ends early."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError
from pa_harness.storage import plain, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

INTERRUPTED = 130  # the shell's exit code for Ctrl-C
Verbs = Any  # argparse has no public name for what add_subparsers returns
Options = Any  # nor one for a parser or a group of its options, whichever it is


def add_verb(
    verbs: Verbs, name: str, act: Callable[[argparse.Namespace], int], about: str, example: str
) -> argparse.ArgumentParser:
    """A verb with its description and an example; `act` gets the parsed options."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=about,
        description=about,
        epilog=f"example:\n  pa-harness {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(act=act)
    return parser


def add_run_folder(parser: Options) -> None:
    """The folder of a sweep, of the verbs that compute from it."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="--output_path of a sweep")


def add_instruction(parser: Options) -> None:
    """What IF is the mean of, of the verbs that read a run."""
    parser.add_argument(
        "--instruction",
        nargs="+",
        default=(),
        metavar="TASK|JUDGE",
        help="what IF is the mean of: tasks such as ifeval, or judges (folders in "
        "RUN/judgements); their beginnings do; default: all such tasks, or the only judge",
    )


def add_model_args(parser: Options, *, required: bool) -> None:
    """The model arguments, of the verbs that open a pair."""
    parser.add_argument(
        "--model_args",
        "-a",
        nargs="+",
        required=required,
        metavar="KEY=VALUE,…",
        help="as for `lm_eval --model partially_adapted`; JSON in braces, too",
    )


def stopped(left: str) -> int:
    """Say what Ctrl-C has left, and return the exit code for it."""
    print(f"\nStopped. {left}", file=sys.stderr)
    return INTERRUPTED


def say(notes: Iterable[str]) -> None:
    """What must be said beside a verb's own output."""
    for note in notes:
        print(note, file=sys.stderr)


def keep(path: Path, value: object) -> None:
    """Write beside a run what was computed of it and printed; say so where that cannot be done."""
    try:
        write_json(path, plain(value))
    except RunError as error:
        say([f"Not kept: {error}"])


def unwritable(place: Path, error: OSError) -> RunError:
    """The error of a place that the user named to be written to."""
    return RunError(f"{place} cannot be written: {error.strerror}. Name another place.")
