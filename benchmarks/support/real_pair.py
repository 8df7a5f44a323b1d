"""The real pair of a benchmark: the demo's, or the one named on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.demo.pair import Pair, demo_pair

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """Give a parser --base and --instruct."""
    parser.add_argument("--base", help="folder or hub id (default: the demo's pair)")
    parser.add_argument("--instruct", help="folder or hub id")


def real_pair(given: Namespace) -> Pair:
    """The pair that the options name, else the demo's."""
    if given.base and given.instruct:
        about = f"base: {given.base}\ninstruct: {given.instruct}"
        return Pair(name="given", base=given.base, instruct=given.instruct, description=about)
    return demo_pair()
