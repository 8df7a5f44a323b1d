"""``--lam auto``: find the best λ for ICL with a part of the full grid's work.

The documents of every task are shuffled and cut into blocks. The first is evaluated on the coarse
grid, each next one at the λ that may still be the best (`analysis.search`), until the choice is
settled or the budget spent. Each phase is a sweep of its own in ``phase-1``, ``phase-2``, … of the
run's folder, so that a search that was stopped goes on with the same command.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.analysis.reading import read_trajectory
from pa_harness.analysis.search import (
    CONFIDENCE,
    TOLERANCE,
    Belief,
    Block,
    belief,
    block_of,
    block_shares,
    first_places,
    next_places,
)
from pa_harness.analysis.trajectory import ICL
from pa_harness.errors import SweepError
from pa_harness.runs.folder import RunFolder
from pa_harness.storage import plain, write_json
from pa_harness.sweep.checks import check
from pa_harness.sweep.kept import check_same
from pa_harness.sweep.sweep import sweep
from pa_harness.sweep.workload import load_tasks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pa_harness.analysis.trajectory import Trajectory
    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.progress import Progress
    from pa_harness.sweep.sweep import Terms

GRID = "0:1:0.1"
BUDGET = 0.4
_FEWEST = 32  # documents of a task


@dataclass(frozen=True)
class Found:
    """The end of a search.

    Attributes:
        lam: the chosen λ.
        confidence: estimated probability that its ICL is within `TOLERANCE` of the grid's best.
        cost: evaluated documents times λ, as a share of the full grid's.
        phases: λ of each phase.
        documents: of each phase.
        lams: the grid.
        best: how likely each λ of the grid is the best one.
        mean: estimated ICL at each.
        why: the search ended.
        notes: tasks that were left out, and why.
    """

    lam: float
    confidence: float
    cost: float
    phases: tuple[tuple[float, ...], ...]
    documents: tuple[int, ...]
    lams: tuple[float, ...]
    best: tuple[float, ...]
    mean: tuple[float, ...]
    why: str
    notes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        return (
            f"λ = {self.lam:g}: its ICL is within {100 * TOLERANCE:g} points of the best on the "
            f"grid with an estimated probability of {self.confidence:.0%}. {self.why} "
            f"{self.cost:.0%} of the full grid's evaluations were made, {1 - self.cost:.0%} saved "
            f"({len(self.phases)} phases, {sum(self.documents)} documents)."
        )


def auto_sweep(
    settings: SweepSettings, path: Path, budget: float, progress: Progress, terms: Terms
) -> Found:
    """Search the grid `settings.lam`; every phase must be of what the first is, and is now.

    Args:
        settings: of a sweep of the full grid.
        path: the run's folder.
        budget: most evaluations, as a share of the full grid's.
        progress: is told how far each phase is.
        terms: how each phase is done.

    Raises:
        SweepError: the budget does not allow the first phase, a task has too few documents, or no
            task counts for ICL.
        RunError: as of a sweep.
    """
    grid = settings.lam
    order = _shuffled(settings, path)
    total = sum(map(len, order.values())) * len(grid)
    shares = block_shares([len(places) for places in order.values()])
    places = _first_phase(len(grid), shares[0], budget)
    blocks: list[Block] = []
    phases: list[tuple[float, ...]] = []
    documents: list[int] = []
    notes: tuple[str, ...] = ()
    while True:
        samples = _part(order, shares[: len(blocks) + 1])
        count = sum(map(len, samples.values()))
        lams = tuple(grid[place] for place in places)
        part = replace(settings, lam=lams, samples=samples, limit=None)
        trajectory = _phase(part, path, len(blocks) + 1, progress, terms)
        suite = trajectory.suite(ICL)
        if suite is None:
            raise SweepError("--lam auto maximises ICL, and no task of this sweep counts for it.")
        notes = trajectory.notes
        blocks.append(block_of(suite, places, count * len(places) / total))
        phases.append(lams)
        documents.append(count)
        found = belief(grid, blocks)
        cost = sum(block.cost for block in blocks)
        left = len(blocks) < len(shares)
        following = _part(order, shares[: len(blocks) + 1])
        most = _affordable(following, (budget - cost) * total) if left else 0
        places = next_places(found, most)
        why = _end(found, left=left, affordable=bool(places))
        if why:
            break
    result = Found(
        *(grid[found.chosen], found.confidence, cost, tuple(phases), tuple(documents)),
        lams=grid,
        best=tuple(found.best.tolist()),
        mean=tuple(found.mean.tolist()),
        why=why,
        notes=notes,
    )
    write_json(RunFolder(path).search_file, plain(result))
    return result


def _phase(
    settings: SweepSettings, path: Path, number: int, progress: Progress, terms: Terms
) -> Trajectory:
    """Sweep what a phase asks; it must be of the same models and tasks as the first."""
    first, folder = RunFolder(path / "phase-1"), path / f"phase-{number}"
    started = first.started if number > 1 else ""  # to templates with a date, one day
    sweep(settings, folder, progress, replace(terms, started=started))
    check_same(first, RunFolder(folder), [*(settings.samples or ())])
    return read_trajectory(folder)


def _first_phase(count: int, share: float, budget: float) -> list[int]:
    """Places of its λ on a grid of `count`, asked on a share of the documents."""
    places = first_places(count)
    least = len(places) * share / count
    if count < 3 or budget < least:
        percent = math.ceil(100 * least)
        asked = "a grid of three λ or more" if count < 3 else f"--budget {percent / 100} or more"
        raise SweepError(
            f"--lam auto: the first phase needs {asked}. It asks {share:.0%} of the documents: the "
            "fewer there are, the more of them."
        )
    return places


def _end(found: Belief, *, left: bool, affordable: bool) -> str:
    """Why the search ends here; empty where it goes on."""
    if found.confidence >= CONFIDENCE:
        return "The choice is settled."
    if not left:
        return "All documents were used."
    return "" if affordable else "The budget is spent."


def _shuffled(settings: SweepSettings, path: Path) -> dict[str, list[int]]:
    """The documents of every task, in an order of chance that is the same every time."""
    from lm_eval.evaluator_utils import get_sample_size

    check(settings, path)
    if settings.samples:
        raise SweepError("--lam auto chooses the documents itself. Leave out --samples.")
    order = {}
    for name, task in load_tasks(settings).tasks.items():
        count: Any = get_sample_size(task, settings.limit)
        count = len(task.eval_docs) if count is None else min(count, len(task.eval_docs))
        if count < _FEWEST:
            raise SweepError(
                f"--lam auto cuts every task's documents into blocks; {name} has {count} "
                f"documents. Expected {_FEWEST} or more."
            )
        random = np.random.default_rng([0, zlib.crc32(name.encode())])  # of no other task
        order[name] = [int(place) for place in random.permutation(count)]
    return order


def _part(order: dict[str, list[int]], shares: Sequence[float]) -> dict[str, list[int]]:
    """The documents of the last of these blocks, ascending."""
    start, stop = sum(shares[:-1]), sum(shares)
    return {
        name: sorted(places[round(start * len(places)) : round(stop * len(places))])
        for name, places in order.items()
    }


def _affordable(following: dict[str, list[int]], evaluations: float) -> int:
    """How many λ of the next block the rest of the budget allows."""
    return int(evaluations / sum(map(len, following.values())) + 1e-9)
