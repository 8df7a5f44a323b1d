"""What a choice is to make best and what to keep, of the verbs that choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from pa_harness.analysis.asked.language import Asked
    from pa_harness.cli.verb import Options


def add_asked(parser: Options) -> None:
    """The options."""
    parser.add_argument(
        "--maximize",
        metavar="NAME",
        help="ICL (default), IF, mine, a category, a task or judge, TASK:METRIC, answer_tokens; "
        "=-NAME: as little as possible of it",
    )
    parser.add_argument(
        "--keep",
        nargs="+",
        action="extend",
        metavar="RULE",
        help="'ifeval>=98%%' of it at λ = 1, 'icl>=99%%@0' of it at λ = 0, 'arc_easy>=0.6', "
        "'answer_tokens<=120%%'",
    )
    parser.add_argument(
        "--confidence",
        type=float,
        metavar="P",
        help="with which all is kept, for documents of this kind (default: 0.9)",
    )


def read_asked(options: argparse.Namespace) -> Asked | None:
    """What was asked for; None where nothing was."""
    from pa_harness.analysis.asked.language import Asked

    if options.maximize is None and not options.keep:
        return None
    return Asked(options.maximize or "ICL", tuple(options.keep or ()))
