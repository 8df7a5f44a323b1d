"""A verb of the command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130  # the shell's exit code for Ctrl-C
Verbs = Any  # argparse has no public name for what add_subparsers returns


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
