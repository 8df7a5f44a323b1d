"""What does a promise cost? Risk against gain of "best ICL with IF ≥ 98% of IF(1)".

``python -m benchmarks.risk [REPETITIONS]``: simulated sweeps with known truth, by the number of
prompts that IF is measured with and by the confidence that `choose --confidence` is asked for. The
point estimate's rule, which many use, stands beside.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.report import publish, table
from pa_harness.analysis.choice import choose
from pa_harness.analysis.trajectory import IF, Trajectory

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from simulated import LAMS, Design, simulate, truth

Array = NDArray[np.float64]
PROMPTS = (100, 541, 1000)
CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_BOUNDARIES = (0.15, 0.35, 0.55, 0.75, 0.95)  # λ from which on IF is 98% of IF(1)
_TASKS, _DOCUMENTS, _KEPT = 6, 500, 0.98


def risk(prompts: int, repetitions: int) -> dict[str, Array]:
    """By rule: of each sweep the broken promise, whether λ moved, ICL gain, IF change (points)."""
    found: dict[str, list[tuple[float, ...]]] = {}
    icl = truth("peak", _TASKS)
    for number in range(repetitions):
        boundary = _BOUNDARIES[number % len(_BOUNDARIES)]
        followed = 0.6 * (1 - (1 - _KEPT) * (1 - LAMS) / (1 - boundary))
        random = np.random.default_rng([number, 2])
        parts = simulate(Design(_DOCUMENTS), icl, random).tasks
        parts += simulate(Design(prompts), followed[None], random, "instruction").tasks
        sweep = Trajectory("simulated", LAMS, parts, ())
        places = {
            f"{confidence:g}": int(
                np.argmax(choose(sweep, confidence=confidence).choices[1].candidate == LAMS)
            )
            for confidence in CONFIDENCES
        }
        places["point estimates"] = _naive(sweep)
        places["the truth known"] = _best(icl.mean(axis=0), followed)
        for rule, place in places.items():
            row = (
                float(followed[place] < _KEPT * followed[-1] - 1e-12),
                float(place != len(LAMS) - 1),
                100 * float((icl[:, place] - icl[:, -1]).mean()),
                100 * float(followed[place] - followed[-1]),
            )
            found.setdefault(rule, []).append(row)
    return {rule: np.array(rows) for rule, rows in found.items()}


def _naive(sweep: Trajectory) -> int:
    """The rule of point estimates."""
    icl, followed = sweep.suite("ICL"), sweep.suite(IF)
    if icl is None or followed is None:
        raise RuntimeError("the simulated sweep lacks an average")
    return _best(icl.mean(), followed.mean())


def _best(icl: Array, followed: Array) -> int:
    return int(np.argmax(np.where(followed >= _KEPT * followed[-1] - 1e-12, icl, -np.inf)))


def main() -> None:
    """Measure, and write the table."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    lines = []
    for prompts in PROMPTS:
        for rule, rows in risk(prompts, repetitions).items():
            error = rows.std(axis=0) / np.sqrt(repetitions)
            mean = rows.mean(axis=0)
            cells = [f"{100 * mean[n]:.1f} ± {100 * error[n]:.1f}" for n in (0, 1)]
            cells += [f"{mean[n]:+.2f} ± {error[n]:.2f}" for n in (2, 3)]
            lines.append([rule, str(prompts), *cells])
            print(lines[-1], flush=True)
    head = ["confidence", "prompts", "IF below 98%, % of sweeps", "candidate ≠ 1, %"]
    head += ["ICL gain, points", "IF change, points"]
    text = (
        f"{repetitions} simulated sweeps a row: {_TASKS} few-shot tasks of {_DOCUMENTS} documents "
        "(best at λ = ½, 3 points over λ = 1), IF 60% at λ = 1 and 98% of that from λ = "
        f"{', '.join(map(str, _BOUNDARIES))} on, in turns. Means of the truth at the rule's "
        "candidate, with Monte-Carlo standard errors."
    )
    publish("risk", f"{text}\n\n{table(head, lines)}", command="python -m benchmarks.risk")


if __name__ == "__main__":
    main()
