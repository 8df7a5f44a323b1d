"""Do intervals and verdicts hold? A smaller version of ``python -m benchmarks.coverage``."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.coverage import REGIMES, Regime, measure

_SWEEPS = 40
_SMALL = [
    each
    for each in REGIMES
    if each.tasks * each.design.documents * each.lams <= 3_200 and each.design.named
]


@pytest.mark.parametrize(
    "regime", _SMALL, ids=lambda each: f"{each.name} {each.tasks} {each.shape}"
)
def test_they_hold_in_each_regime(regime: Regime) -> None:
    """Up to three Monte-Carlo errors."""
    held = measure(regime, _SWEEPS)
    least = {name: _least(values, 0.95) for name, values in held.items() if name != "better"}
    for name in ("value", "difference", "band", "gain"):
        assert held[name].mean() > least[name], name
    if regime.shape != "peak":
        assert held["better"].mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / _SWEEPS)


def _least(values: np.ndarray, level: float) -> float:
    return float(level - 3 * max(values.std(), 0.02) / np.sqrt(len(values)))
