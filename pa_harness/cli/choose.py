"""The verb choose: a λ for a run, and what is to be gained by it."""

from __future__ import annotations

import argparse

from pa_harness.cli.verb import (
    Verbs,
    add_asked,
    add_instruction,
    add_run_folder,
    add_verb,
    keep,
    read_asked,
    say,
)
from pa_harness.errors import RunError


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    parser = add_verb(
        verbs,
        "choose",
        choose,
        "choose λ, with the gain that is to be expected of it; writes choice.json",
        "choose runs/first --maximize ICL --keep 'ifeval>=98%' 'answer_tokens<=120%'",
    )
    add_run_folder(parser)
    add_asked(parser)
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="ε",
        help="without --keep: share of IF(1), or of mine(1), that may be lost (default: 0.02)",
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        type=_weight,
        metavar="NAME=WEIGHT",
        help="of an average of your own, over tasks, categories, ICL and IF",
    )
    add_instruction(parser)


def _weight(text: str) -> tuple[str, float]:
    name, _, weight = text.rpartition("=")
    try:
        return name, float(weight)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NAME=WEIGHT, not {text!r}") from None


def choose(options: argparse.Namespace) -> int:
    """Print the choices of a run; write them beside it."""
    from pa_harness.analysis.choice import choose as choose_lam
    from pa_harness.analysis.constraints import CONFIDENCE
    from pa_harness.analysis.reading import read_trajectory
    from pa_harness.report.text import choices_text

    asked = read_asked(options)
    if asked and options.weights:
        raise RunError("--weights is a rule of its own: give it without --maximize and --keep.")
    trajectory = read_trajectory(options.run_folder, options.instruction)
    found = choose_lam(
        trajectory,
        tolerance=options.tolerance,
        weights=dict(options.weights or ()),
        confidence=options.confidence or CONFIDENCE,
        asked=asked,
    )
    if options.confidence and not any(choice.kept for choice in found.choices):
        raise RunError(
            "--confidence is of what is kept, and nothing is: the sweep has neither instruction "
            "tasks nor --mine. Say what with --keep."
        )
    say(trajectory.notes)
    print(choices_text(found))
    keep(options.run_folder / "choice.json", found)
    return 0
