"""Judges a run and is killed at random moments: ``python killed_judge.py RUN URL KILLS``.

The libraries are imported once; each attempt runs in a fork, so that a kill costs no start.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
from pathlib import Path

from killing import forked

from pa_harness.cli.main import main as command
from pa_harness.judging.alpaca import AlpacaEval
from pa_harness.judging.asking.verdicts import Verdicts

CONCURRENCY = 8


def once(run: Path, url: str, seconds: float | None) -> int:
    """One judging; its wait status."""

    def work() -> int:
        at = ["--base_url", url, "--judge_model", "fake", "--concurrency", str(CONCURRENCY)]
        with contextlib.redirect_stdout(io.StringIO()):
            return command(["judge", str(run), *at, "--yes", "--attempts", "50"])

    return forked(work, seconds)


def kept(run: Path) -> int:
    """Verdicts on the disk."""
    verdicts = Verdicts(run / "judgements" / "verdicts.sqlite")
    (count,) = verdicts._file.execute("SELECT COUNT(*) FROM verdicts").fetchone()
    verdicts.close()
    return int(count)


def main() -> None:
    run, url, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    AlpacaEval()  # imported before the forks
    moments = random.Random(0)
    before, killed = 0, 0
    while killed < kills:
        longest = 6 if before else 20  # a loaded machine takes its time until the first verdict
        killed += os.WIFSIGNALED(once(run, url, moments.uniform(2, longest)))
        now = kept(run)
        assert now >= before, "a verdict was lost"
        before = now
        print("killed with", now, flush=True)
    assert once(run, url, None) == 0
    print(kept(run))


main()
