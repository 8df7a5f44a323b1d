"""How often does `compare` see a difference where there is none?

``python -m benchmarks.alarms [REPETITIONS]``: two models that are equally good, that agree on most
documents; documents that stand alone, and passages of five questions that are answered alike.
Beside it McNemar's test as if questions on one passage were independent, and the unpaired test.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.report import publish, table
from pa_harness.analysis.pairs.comparison import compare
from pa_harness.runs.logged import Evaluation, Logged
from pa_harness.runs.scores import Score

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Regime:
    """A row of the table."""

    documents: int
    passage: int = 1
    alike: float = 0.7  # correlation of the two models' abilities on a document
    level: float = 0.6

    def __str__(self) -> str:
        """For a test's name."""
        return f"{self.documents} of {self.passage}, {self.level:g}"


REGIMES = (
    *(Regime(n, p) for n in (50, 300, 2000) for p in (1, 5)),
    *(Regime(n, p, alike=0.98) for n in (300, 2000) for p in (1, 5)),
    *(Regime(n, p, level=0.95) for n in (300, 2000) for p in (1, 5)),
)


def alarms(regime: Regime, repetitions: int) -> dict[str, NDArray[np.bool_]]:
    """Of each repetition, whether a difference was seen: by p, interval, and as others do."""
    found: dict[str, list[bool]] = {name: [] for name in ("p", "interval", "alone", "unpaired")}
    for number in range(repetitions):
        first, other = evaluations(regime, np.random.default_rng([number, 7]))
        (row,) = compare([first, other]).tasks
        found["p"].append(row.p <= 0.05)
        found["interval"].append(row.low > 0 or row.high < 0)
        (alone,) = compare([_alone(first), _alone(other)]).tasks
        found["alone"].append(alone.p <= 0.05)
        (unpaired,) = compare([_alone(first), _alone(other)], paired=False).tasks
        found["unpaired"].append(unpaired.p <= 0.05)
    return {name: np.array(each) for name, each in found.items()}


def evaluations(
    regime: Regime, random: np.random.Generator, gain: float = 0.0
) -> tuple[Evaluation, Evaluation]:
    """Two models, the second better by `gain`; a passage's documents share half."""
    count, passages = regime.documents, np.arange(regime.documents) // regime.passage

    def drawn() -> Array:
        common = random.standard_normal(passages[-1] + 1)[passages]
        own = random.standard_normal(count)
        whole: Array = own if regime.passage == 1 else np.sqrt(0.5) * (common + own)
        return whole

    shared = np.sqrt(regime.alike) * drawn()
    sides = []
    for label, level in (("a", regime.level), ("b", regime.level + gain)):
        ability = shared + np.sqrt(1 - regime.alike) * drawn()
        right = (ability < NormalDist().inv_cdf(level)).astype(np.float64)
        sides.append(_evaluation(label, right, passages))
    return sides[0], sides[1]


def _evaluation(label: str, values: Array, clusters: NDArray[np.int64]) -> Evaluation:
    ids = np.arange(len(values))
    score = Score("quiz", "acc", "none", float(values.mean()), main=True)
    logged = Logged(score, Path(), ids, ids, ids, values, np.full(len(ids), 4), clusters)
    return Evaluation(label, {"quiz": logged})


def _alone(found: Evaluation) -> Evaluation:
    logged = found.tasks["quiz"]
    return _evaluation(found.label, logged.values, logged.ids)


def main() -> None:
    """Measure, and write the table."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rows = []
    for regime in REGIMES:
        shares = [
            f"{100 * each.mean():.1f} ± {100 * each.std() / np.sqrt(repetitions):.1f}"
            for each in alarms(regime, repetitions).values()
        ]
        size = (regime.documents, regime.passage)
        rows.append([f"{regime.alike:g}", f"{regime.level:g}", *map(str, size), *shares])
        print(rows[-1], flush=True)
    head = ["alike", "accuracy", "documents", "in a passage", "p ≤ 0.05", "interval without 0"]
    publish(
        "alarms",
        f"{repetitions} pairs of equally good models a row; percent in which a difference is seen, "
        "with Monte-Carlo standard errors (at most 5 is right), beside McNemar's test as if all "
        "documents stood alone, and a test that does not pair.\n\n"
        + table([*head, "as if alone", "unpaired"], rows),
        command="python -m benchmarks.alarms",
    )


if __name__ == "__main__":
    main()
