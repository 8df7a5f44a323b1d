"""Every benchmark, one after the other: ``python -m benchmarks.all [NAME ...]``.

Rewrites the tables in ``benchmarks/results`` and ``benchmarks/README.md``. Takes about half an hour
on two cores, 7 GB of disk in the cache folder (the pair stays there) and 10 GB of memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.support.mergekit_environment import mergekit_python
from benchmarks.support.places import REPOSITORY

NAMES = (
    *("weights", "rounding", "mergekit_parity", "startup", "sweep", "coverage", "alarms"),
    *("promises", "risk", "repeats", "compare", "scale", "auto", "export", "recipes"),
    "judging",
)


def main(names: list[str]) -> int:
    """Run them in processes of their own; the exit code counts those that failed."""
    if {"weights", "mergekit_parity", "sweep", "recipes"} & set(names):
        mergekit_python()
    failed = []
    for name in names:
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        if subprocess.run(command, cwd=REPOSITORY, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    sys.exit(main(given.names or list(NAMES)))
