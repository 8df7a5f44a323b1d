"""Does the λ of `choose --keep` keep what it promises, and what does that cost?

``python -m benchmarks.promises [REPETITIONS]``: simulated sweeps with known truth: three few-shot
tasks that are best at λ = ½, and two things to keep of λ = 1 that fall towards λ = 0, each from a
λ of its own on below what must be kept.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.report import publish, table
from pa_harness.analysis.asked.language import Asked
from pa_harness.analysis.choice import choose
from pa_harness.analysis.trajectory import Trajectory

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from simulated import LAMS, Design, simulate, truth

Array = NDArray[np.float64]
_KEEP = ("x 0>=98%", "y 0>=95%")
_SHARES = (0.98, 0.95)
_EDGES = (0.15, 0.35, 0.55, 0.75, 0.95)  # λ from which on a constraint is kept


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    documents: int
    passage: int = 1
    smooth: float = 0.3  # as `simulated.Design` has it: how many answers change along λ


CASES = tuple(Case(n, p, smooth) for n in (100, 1000) for p in (1, 5) for smooth in (0.3, 0.02))


def kept_shares(case: Case, confidence: float, repetitions: int) -> dict[str, Array]:
    """Of each repetition: all kept by the chosen λ and by the best candidate, and what is lost."""
    found: dict[str, list[float]] = {
        name: [] for name in ("kept", "candidate", "naive", "moved", "loss", "candidate loss")
    }
    for number in range(repetitions):
        random = np.random.default_rng([number, 3])
        edges = random.choice(_EDGES, 2)
        icl = truth("peak", 3)
        kept = [
            0.6 * (1 - (1 - s) * (1 - LAMS) / (1 - e)) for s, e in zip(_SHARES, edges, strict=True)
        ]
        design = Design(case.documents, passage=case.passage, smooth=case.smooth)
        tasks = simulate(design, icl, random).tasks
        tasks += simulate(design, kept[0][None], random, "x").tasks
        tasks += simulate(design, kept[1][None], random, "y").tasks
        whole = Trajectory("simulated", LAMS, tasks, ())
        (choice,) = choose(whole, confidence=confidence, asked=Asked("c", _KEEP)).choices
        good = np.all([m >= s * m[-1] - 1e-12 for m, s in zip(kept, _SHARES, strict=True)], axis=0)
        gain = 100 * (icl.mean(axis=0) - icl.mean(axis=0)[-1])
        chosen, candidate = (int(np.argmax(at == LAMS)) for at in (choice.lam, choice.candidate))
        seen = [whole.tasks[n].values.mean(axis=1) for n in (3, 4)]
        looks = np.all([m >= s * m[-1] for m, s in zip(seen, _SHARES, strict=True)], axis=0)
        best = np.mean([task.values.mean(axis=1) for task in whole.tasks[:3]], axis=0)
        naive = int(np.argmax(np.where(looks, best, -np.inf)))
        oracle = gain[good].max()
        found["kept"].append(good[chosen])
        found["candidate"].append(good[candidate])
        found["naive"].append(good[naive])
        found["moved"].append(candidate != len(LAMS) - 1)
        found["loss"].append(oracle - gain[chosen])
        found["candidate loss"].append(oracle - gain[candidate])
    return {name: np.array(each, dtype=float) for name, each in found.items()}


def main() -> None:
    """Measure, and write the table."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rows = []
    for case in CASES:
        for confidence in (0.5, 0.9):
            found = kept_shares(case, confidence, repetitions)
            percent = [
                f"{100 * each.mean():.1f} ± {100 * each.std() / np.sqrt(repetitions):.1f}"
                for each in (found[n] for n in ("kept", "candidate", "naive", "moved"))
            ]
            lost = [f"{found[name].mean():.2f}" for name in ("loss", "candidate loss")]
            size = (case.documents, case.passage)
            rows.append([*map(str, size), f"{case.smooth:g}", f"{confidence:g}", *percent, *lost])
            print(rows[-1], flush=True)
    head = ["documents", "in a passage", "changing", "confidence", "λ keeps all"]
    head += ["candidate keeps all", "by point estimates", "candidate ≠ 1", "loss", "its loss"]
    publish(
        "promises",
        f"{repetitions} simulated sweeps a row: `choose --maximize c --keep 'x>=98%' 'y>=95%'`. "
        "Percent, with Monte-Carlo standard errors, in which the chosen λ keeps both in truth (the "
        "λ that is named, and the candidate, which need not be shown to be better than λ = 1), "
        "beside the λ that point estimates choose; and points of the objective that are lost "
        "against the best λ that keeps both in truth.\n\n" + table(head, rows),
        command="python -m benchmarks.promises",
    )


if __name__ == "__main__":
    main()
