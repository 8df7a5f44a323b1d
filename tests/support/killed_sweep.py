"""Kills a sweep at random moments until it is done: ``python killed_sweep.py RUN SETTINGS KILLS``.

The libraries are imported once; each sweep runs in a fork, so that a kill costs no start.
"""

from __future__ import annotations

import io
import os
import random
import sys
import time
from pathlib import Path

import lm_eval.models.huggingface  # noqa: F401 -- imported before the forks
from killing import forked
from lm_eval.api import registry  # noqa: F401

import pa_harness.models.hf  # noqa: F401
from pa_harness.runs.settings import resolve
from pa_harness.sweep.progress import Progress
from pa_harness.sweep.sweep import sweep


def once(run: Path, settings: Path, seconds: float | None) -> int:
    """One sweep; its wait status."""

    def work() -> int:
        sweep(resolve({}, settings), run, Progress(io.StringIO()))
        return 0

    return forked(work, seconds)


def main() -> None:
    run, settings, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    moments = random.Random(0)
    began = time.monotonic()
    assert once(run.with_name("whole"), settings, None) == 0
    whole = time.monotonic() - began
    killed = 0
    while killed < kills:
        killed += os.WIFSIGNALED(once(run, settings, moments.uniform(0, 0.8 * whole)))
        if (run / "scores.parquet").exists():  # it came to its end: take most of it away
            (run / "scores.parquet").unlink()
            for path in sorted(run.glob("units/*/*.json"))[2:]:
                path.unlink()
    assert once(run, settings, None) == 0


main()
