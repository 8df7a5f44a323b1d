"""``pa-harness sweep --lam auto``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pa_harness.cli.verb import INTERRUPTED

if TYPE_CHECKING:
    import argparse

STOPPED = "\nStopped. Finished units are kept; the same command goes on from there."


def search(given: dict[str, Any], options: argparse.Namespace) -> int:
    """Search instead of sweeping all; print what was chosen.

    Args:
        given: settings of the command line, by name.
        options: of the verb sweep.
    """
    from pa_harness.runs.settings import resolve
    from pa_harness.sweep.auto import BUDGET, GRID, auto_sweep
    from pa_harness.sweep.progress import Progress

    settings = resolve({**given, "lam": options.lam.partition(":")[2] or GRID}, options.config)
    budget = BUDGET if options.budget is None else options.budget
    try:
        found = auto_sweep(settings, options.output_path, budget, Progress(sys.stderr))
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return INTERRUPTED
    for lam, share, mean in zip(found.lams, found.best, found.mean, strict=True):
        print(f"λ = {lam:<5g} ICL about {mean:.4f}, the best with {share:.0%}")
    print("\n".join([*found.notes, found.sentence, f"Results: {options.output_path}"]))
    return 0
