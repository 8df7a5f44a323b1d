"""AlpacaEval's numbers from verdicts, and differences along λ, paired by instruction.

A verdict v is 1 where the reference is better, 2 where the model is, between where the judge is
unsure. With w = v − 1,

    win rate            100 · mean(w), its standard error 100 · s/√n with s² the sample variance
    discrete win rate   100 · mean(w rounded; exactly ½ stays)

as alpaca-eval 0.6.6 computes them (checked against its published leaderboard).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.frame import Frame
from pa_harness.analysis.measure import differences
from pa_harness.analysis.trajectory import TaskCurve, even_suite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.analysis.intervals import Array, Intervals


@dataclass(frozen=True)
class WinRate:
    """Win rates in percent, with n verdicts; NaN where undefined."""

    win_rate: float
    standard_error: float
    discrete_win_rate: float
    n: int


@dataclass(frozen=True)
class Differences:
    """Win rates against that of λ = 1, percentage points, on the instructions all λ have."""

    to_instruct: Intervals
    n: int


def win_rate(verdicts: Sequence[float | None] | Array) -> WinRate:
    """The win rates of those that are there.

    Args:
        verdicts: in [1, 2]; None or NaN where lost.
    """
    all_of_them = np.array(verdicts, dtype=np.float64)  # None is NaN
    wins = all_of_them[~np.isnan(all_of_them)] - 1
    count = len(wins)
    if not count:
        return WinRate(math.nan, math.nan, math.nan, 0)
    error = 100 * wins.std(ddof=1) / math.sqrt(count) if count > 1 else math.nan
    discrete = np.where(wins == 0.5, 0.5, np.round(wins))
    return WinRate(100 * float(wins.mean()), float(error), 100 * float(discrete.mean()), count)


def against_instruct(lams: Sequence[float], verdicts: Array) -> Differences | None:
    """Differences to λ = 1, paired by instruction: those that have a verdict at every λ.

    Args:
        lams: one for each row.
        verdicts: shape (λ, instructions), in [1, 2]; NaN where lost.

    Returns:
        None without λ = 1, without another λ, or with fewer than two instructions in common.
    """
    if 1.0 not in lams or len(lams) < 2:
        return None
    common = 100 * (verdicts[:, ~np.isnan(verdicts).any(axis=0)] - 1)
    if common.shape[1] < 2:
        return None
    task = TaskCurve("judged", "judged", "", "", common, np.arange(common.shape[1]))
    found = Frame([task]).against(even_suite("judged", [task]), list(lams).index(1.0))
    return Differences(differences(found), common.shape[1])
