"""Judges a run and is killed at random moments: ``python killed_judge.py RUN URL KILLS``.

The libraries are imported once; each attempt runs in a fork, so that a kill costs no start. A kill
comes at any moment, or, however slow the machine is, soon after a new verdict is on the disk.
"""

from __future__ import annotations

import contextlib
import io
import random
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from killing import forked

from pa_harness.cli.main import main as command
from pa_harness.judging.alpaca import AlpacaEval

if TYPE_CHECKING:
    from collections.abc import Callable

CONCURRENCY = 8
PATIENCE = 120  # seconds until an attempt's first new verdict


def once(run: Path, url: str, until: Callable[[], None] | None) -> int:
    """One judging, killed when `until` returns; its wait status."""

    def work() -> int:
        at = ["--base_url", url, "--judge_model", "fake", "--concurrency", str(CONCURRENCY)]
        with contextlib.redirect_stdout(io.StringIO()):
            return command(["judge", str(run), *at, "--yes", "--attempts", "50"])

    return forked(work, until)


def kept(run: Path) -> int:
    """Verdicts on the disk; nothing is made or changed there, a judge may be at work."""
    file = run / "judgements" / "verdicts.sqlite"
    if not file.exists():
        return 0
    with contextlib.closing(sqlite3.connect(file, timeout=60)) as verdicts:
        if not verdicts.execute("SELECT 1 FROM sqlite_master WHERE name = 'verdicts'").fetchone():
            return 0
        (count,) = verdicts.execute("SELECT COUNT(*) FROM verdicts").fetchone()
    return int(count)


def asking(run: Path, before: int) -> None:
    """Return when there are more verdicts than before, or patience is over."""
    end = time.monotonic() + PATIENCE
    while kept(run) <= before and time.monotonic() < end:
        time.sleep(0.05)


def main() -> None:
    run, url, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    AlpacaEval()  # imported before the forks
    moments = random.Random(0)
    before = 0
    for number in range(kills):

        def moment(first: bool = number % 2 == 0, before: int = before) -> None:
            if not first:
                asking(run, before)
            time.sleep(moments.uniform(0, 4 if first else 1))

        once(run, url, moment)
        now = kept(run)
        assert now >= before, "a verdict was lost"
        before = now
        print("killed with", now, flush=True)
    assert once(run, url, None) == 0
    print(kept(run))


main()
