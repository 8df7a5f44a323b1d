"""Do the intervals hold as often as they say? ``python -m benchmarks.coverage [REPETITIONS]``.

Simulated sweeps with known truth: 4 tasks of 150 documents, 11 λ, answers that are alike along λ.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.support.report import publish, table
from pa_harness.analysis.choice import choose
from pa_harness.analysis.summary import summarise

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from simulated import LAMS, trajectory, truth

_TASKS, _DOCUMENTS, _REPLICATES = 4, 150, 500
_WORDS = {
    "flat": "nothing differs",
    "peak": "best at λ = ½, 3 points over λ = 1",
    "rise": "best at λ = 1, 4 points over λ = 0",
}


def measure(shape: str, repetitions: int) -> list[float]:
    """Percent of repetitions in which each interval holds the truth, and in which λ* "beats" 1."""
    means = truth(shape, _TASKS)
    gains = means - means[:, -1:]
    held = {name: np.zeros(repetitions) for name in ("task", "mean", "band", "gain", "better")}
    for number in range(repetitions):
        found = trajectory(means, _DOCUMENTS, np.random.default_rng([number, 1]))
        summary = summarise(found, _REPLICATES, seed=number)
        for name, right in (("c 1", gains[1]), ("ICL", gains.mean(axis=0))):
            curve = summary.curve(name)
            each = curve.to_instruct if curve else None
            if each is None:
                raise RuntimeError(name)
            inside = (each.low <= right) & (right <= each.high)
            held["task" if name == "c 1" else "mean"][number] = inside[:-1].mean()
            if name == "ICL":
                within = (each.band_low <= right) & (right <= each.band_high)
                held["band"][number] = within.all()
        (choice,) = choose(found, seed=number).choices
        target = float(np.dot(choice.often, gains.mean(axis=0)))
        held["gain"][number] = choice.gain.low <= target <= choice.gain.high
        held["better"][number] = choice.verdict == "better"
    return [100 * float(each.mean()) for each in held.values()]


def main() -> None:
    """Measure, and write the table."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rows = [
        [words, *(f"{value:.1f}" for value in measure(shape, repetitions))]
        for shape, words in _WORDS.items()
    ]
    head = ["truth", "one task", "ICL", "ICL, all λ at once", "cross-fitted gain", "λ* beats 1"]
    text = (
        f"{repetitions} simulated sweeps a row, {_TASKS} tasks of {_DOCUMENTS} documents, "
        f"{len(LAMS)} λ. Percent in which the 95% interval of the difference to λ = 1 holds the "
        "truth, and in which λ* is said to beat λ = 1.\n\n"
    )
    publish("coverage", text + table(head, rows), command="python -m benchmarks.coverage")


if __name__ == "__main__":
    main()
