"""Do intervals and verdicts hold as often as they say?

``python -m benchmarks.coverage [REPETITIONS]``: simulated sweeps with known truth, made like the
suite's own: documents in passages, copies, few flips, skewed metrics, shots that are one draw of
many, two measurements of the same documents.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.report import publish, table
from pa_harness.analysis.choice import choose
from pa_harness.analysis.summary import summarise

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from simulated import LAMS, Design, simulate, truth

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Regime:
    """A row of the table."""

    name: str
    design: Design
    tasks: int = 6
    lams: int = 11
    shape: str = "flat"
    level: float | None = None  # of all tasks; None: from 0.4 to 0.7


FEW_FLIPS = Design(smooth=0.0005)  # of 200 answers about 2 differ between distant λ
REGIMES = (
    Regime("independent", Design()),
    Regime("independent", Design(30), 1),
    Regime("independent", Design(30), 21, 5),
    Regime("independent", Design(1000), 1, 21),
    Regime("independent", Design(200), 21, 21),
    Regime("passages of 5", Design(passage=5), 1),
    Regime("passages of 5", Design(passage=5), 6),
    Regime("passages of 5", Design(1000, passage=5), 6, 5),
    Regime("passages of 16", Design(passage=16), 1),
    Regime("passages of 16", Design(1000, passage=16), 6, 21),
    Regime("every document twice", Design(copies=2)),
    Regime("every document twice", Design(1000, copies=2), 1),
    Regime("few flips", FEW_FLIPS, 1),
    Regime("few flips", FEW_FLIPS, 6),
    Regime("99% right", Design(30), 1, level=0.99),
    Regime("99% right", Design(), 6, level=0.99),
    Regime("skewed", Design(skewed=True), 1),
    Regime("skewed", Design(30, skewed=True), 6),
    Regime("3 draws of shots", Design(draws=3, spread=0.02), 6),
    Regime("3 draws of shots", Design(1000, draws=3, spread=0.02), 21),
    Regime("5 draws, passages of 5", Design(passage=5, draws=5, spread=0.02), 6),
    Regime("two measurements", Design(twice=True), 6),
    Regime("two measurements", Design(30, twice=True), 21, 5),
    Regime("independent", Design(), 6, shape="peak"),
    Regime("independent", Design(), 21, shape="peak"),
    Regime("passages of 5", Design(passage=5), 6, shape="peak"),
    Regime("independent", Design(), 6, shape="rise"),
    Regime("passages of 5, unknown", Design(passage=5, named=False), 1),
    Regime("passages of 16, unknown", Design(passage=16, named=False), 1),
    Regime("one draw of shots", Design(1000, spread=0.02), 21),
)


def measure(regime: Regime, repetitions: int) -> dict[str, Array]:
    """Of each repetition, the share of intervals that hold the truth, and the verdict."""
    lams = LAMS if regime.lams == len(LAMS) else np.linspace(0, 1, regime.lams).round(3)
    means = truth(regime.shape, regime.tasks, lams)
    if regime.level is not None:
        means = means * 0 + regime.level
    right = means.mean(axis=0)
    gains = right - right[-1]
    names = ("value", "difference", "band", "percent", "gain", "better")
    held = {name: np.zeros(repetitions) for name in names}
    for number in range(repetitions):
        found = simulate(regime.design, means, np.random.default_rng([number, 1]))
        curve = summarise(found).curve("ICL")
        if curve is None or curve.to_instruct is None:
            raise RuntimeError(regime.name)
        value, each, percent = curve.value, curve.to_instruct, curve.fractional
        held["value"][number] = _inside(value.low, right, value.high).mean()
        held["difference"][number] = _inside(each.low, gains, each.high)[:-1].mean()
        held["band"][number] = _inside(each.band_low, gains, each.band_high).all()
        held["percent"][number] = (
            np.nan
            if percent is None
            else _inside(percent.low, 100 * gains / right[-1], percent.high)[:-1].mean()
        )
        (choice,) = choose(found).choices
        target = float(np.dot(choice.often, gains))
        held["gain"][number] = choice.gain.low - 1e-12 <= target <= choice.gain.high + 1e-12
        held["better"][number] = choice.verdict == "better"
    return held


def _inside(low: Array, right: Array, high: Array) -> NDArray[np.bool_]:
    return (low - 1e-12 <= right) & (right <= high + 1e-12)


def _share(each: Array) -> str:
    """A percentage with its Monte-Carlo standard error."""
    known = each[~np.isnan(each)]
    if not len(known):
        return "–"
    return f"{100 * known.mean():.1f} ± {100 * known.std() / np.sqrt(len(known)):.1f}"


def main() -> None:
    """Measure, and write the tables."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    rows = []
    for regime in REGIMES:
        held = measure(regime, repetitions)
        size = (regime.tasks, regime.design.documents, regime.lams)
        rows.append([regime.name, regime.shape, *map(str, size), *map(_share, held.values())])
        print(rows[-1], flush=True)
    head = ["documents", "truth", "tasks", "n", "λ", "value", "λ − 1", "all λ", "λ − 1, %", "gain"]
    text = (
        f"{repetitions} simulated sweeps a row. Percent, with Monte-Carlo standard errors, in "
        "which 95% intervals hold the truth: of the average, of its difference to λ = 1, of all "
        "differences at once, of the difference in percent, of the cross-fitted gain; and in which "
        "a λ is called better than λ = 1 (false where the truth is flat or rises: at most 5).\n\n"
    )
    publish(
        "coverage",
        text + table([*head, "“better”"], rows),
        command="python -m benchmarks.coverage",
    )


if __name__ == "__main__":
    main()
