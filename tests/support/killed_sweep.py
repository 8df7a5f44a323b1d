"""Kills a sweep at random moments until it is done.

``python killed_sweep.py RUN SETTINGS KILLS sweep|auto``

The libraries are imported once; each sweep runs in a fork, so that a kill costs no start.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import sys
import time
from pathlib import Path

import lm_eval.models.huggingface  # noqa: F401 -- imported before the forks
from killing import forked
from lm_eval.api import registry  # noqa: F401

import pa_harness.models.hf  # noqa: F401
from pa_harness.runs.settings import resolve
from pa_harness.sweep.auto import auto_sweep
from pa_harness.sweep.progress import Progress
from pa_harness.sweep.sweep import Terms, sweep


def once(run: Path, settings: Path, seconds: float | None) -> int:
    """One sweep or search; its wait status."""

    def work() -> int:
        progress = Progress(io.StringIO())
        if KIND == "auto":
            auto_sweep(resolve({}, settings), run, 0.9, progress, Terms())
        else:
            sweep(resolve({}, settings), run, progress)
        return 0

    return forked(work, seconds)


def take_away(run: Path) -> None:
    """Most of what has come to its end."""
    for path in sorted(run.glob("phase-[2-9]")):
        shutil.rmtree(path)
    for table in ("scores.parquet", "phase-1/scores.parquet", "auto.json"):
        (run / table).unlink(missing_ok=True)
    units = [*run.glob("units/*/*.json"), *run.glob("phase-1/units/*/*.json")]
    for path in sorted(units)[2:]:
        path.unlink()


def main() -> None:
    run, settings, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    moments = random.Random(0)
    began = time.monotonic()
    assert once(run.with_name("whole"), settings, None) == 0
    whole = time.monotonic() - began
    killed = 0
    while killed < kills:
        killed += os.WIFSIGNALED(once(run, settings, moments.uniform(0, 0.8 * whole)))
        if (run / ("auto.json" if KIND == "auto" else "files.json")).exists():
            take_away(run)
    assert once(run, settings, None) == 0


KIND = sys.argv[4]
main()
