"""The `pa-harness` command: its verbs, in the order of its help, and how one of them ends.

A verb is a module of its name here, but for `run`, which is lm-eval's whole.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from pa_harness import __doc__ as about
from pa_harness.cli import (
    check_task,
    choose,
    compare,
    export,
    export_results,
    judge,
    new_task,
    plot,
    report,
    show_lam,
    summary,
    sweep,
    tasks,
)
from pa_harness.cli.shipped import presets
from pa_harness.cli.verb import Parser
from pa_harness.errors import PAHarnessError, install_excepthook, tell
from pa_harness.foreign.showing import harmless_output
from pa_harness.registration import install

if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = (
    *(tasks, new_task, check_task),
    *(presets, sweep, summary, choose, plot, report, judge),
    *(compare, export_results, show_lam, export),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code (2 for an error the user can fix)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["run"]:
        return run(arguments)
    options = parser().parse_args(arguments)
    try:
        with harmless_output():
            code = int(options.act(options))
        sys.stdout.flush()
    except PAHarnessError as error:
        return tell(error)
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 0
    return code


def run(arguments: Sequence[str]) -> int:
    """``lm-eval run ...`` with our model types and tasks, without the startup hook."""
    install(switchable=False)
    install_excepthook()
    from lm_eval.__main__ import cli_evaluate

    sys.argv = ["lm-eval", *arguments]
    try:
        cli_evaluate()
    except PAHarnessError as error:
        return tell(error)
    return 0


def parser() -> Parser:
    """The command's parser, with every verb in it."""
    made = Parser(
        prog="pa-harness",
        usage="pa-harness VERB ...",
        description=(about or "").split("\n\n", 1)[0],
        epilog=(
            "example:\n  pa-harness run --model partially_adapted \\\n"
            "    --model_args pretrained=BASE,instruct=INSTRUCT,lam=0.5 --tasks arc_easy"
        ),
    )
    made.add_argument("--version", action="version", version=version("pa-harness"))
    verbs = made.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser(
        "run", help="lm-eval's own command, where the startup hook is off (lm-eval run --help)"
    )
    for verb in VERBS:
        verb.add(verbs)
    return made
