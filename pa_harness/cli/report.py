"""The verb report: a run's figures and its page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pa_harness.cli.verb import Verbs, add_asked, add_instruction, add_verb, read_asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.analysis.asked.language import Asked


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    parser = add_verb(
        verbs,
        "report",
        report,
        "figures and report.html of a run: one page, to read without a network",
        "report runs/first",
    )
    parser.add_argument("run_folder", type=Path, metavar="RUN")
    add_asked(parser)
    add_instruction(parser)


def report(options: argparse.Namespace) -> int:
    """Write a run's figures and page."""
    asked, sure = read_asked(options), options.confidence or 0
    print(published(options.run_folder, options.instruction, asked, sure))
    return 0


def published(
    run: Path, instruction: Sequence[str] = (), asked: Asked | None = None, confidence: float = 0
) -> str:
    """Write figures and page; return what is to be said of them."""
    from pa_harness.report.publish import publish

    return "\n".join(
        [*publish(run, instruction, asked, confidence), f"Report: {run / 'report.html'}"]
    )
