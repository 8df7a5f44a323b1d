"""The verb presets: settings of sweeps that are shipped, to be named or copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pa_harness.cli.verb import Verbs, add_verb
from pa_harness.errors import RunError, did_you_mean

if TYPE_CHECKING:
    import argparse


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    parser = add_verb(
        verbs,
        "presets",
        presets,
        "sweeps to begin with, for --config NAME; one of them whole, to be copied",
        "presets retention > mine.yaml",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this one's YAML")


def presets(options: argparse.Namespace) -> int:
    """List the presets, or print one."""
    from pa_harness.runs.config_file import presets as shipped

    known = shipped()
    if options.name is None:
        for name, file in known.items():
            first = file.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")
            print(f"{name:<10} {first}")
        print("\nUse one: pa-harness sweep --config NAME. See or copy it: pa-harness presets NAME")
        return 0
    if options.name not in known:
        raise RunError(
            f"There is no preset {options.name}. {did_you_mean(options.name, known)} Presets: "
            f"{', '.join(known)}."
        )
    print(known[options.name].read_text(encoding="utf-8"), end="")
    return 0
