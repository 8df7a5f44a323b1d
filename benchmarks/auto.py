"""How well ``--lam auto`` chooses: simulated sweeps of known truth.

``python -m benchmarks.auto [CURVES]``: per curve, answers of all documents at every λ are made up;
the search sees the blocks it asks for.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.report import publish, table
from pa_harness.analysis.search import (
    CONFIDENCE,
    TOLERANCE,
    Block,
    belief,
    block_of,
    block_shares,
    first_places,
    next_places,
)
from pa_harness.analysis.trajectory import TaskCurve, even_suite

Array = NDArray[np.float64]
GRID = np.linspace(0, 1, 11).round(1)
SIZES = ((20, 250), (20, 500), (20, 1000), (3, 128), (3, 1000))  # tasks, documents of each
BUDGET = 0.4
_SHOWN = (20, 500)  # whose shapes are shown one by one
SHAPES = (
    *("peak", "one-sided", "rise", "fall", "flat", "valley", "wave", "plateau", "step"),
    *("λ = 1 lower", "λ = 1 higher"),
)
_SURE = 0.85  # confidence from which a search is said to be sure


def truth(shape: str, random: np.random.Generator) -> Array:
    """The average along the grid, above its level: up to a few points."""
    if shape.startswith("λ = 1"):  # a cliff at the end of another curve
        before = ("peak", "rise", "flat", "one-sided")[int(random.integers(4))]
        end = random.uniform(0.005, 0.04) * (1 if shape.endswith("higher") else -1)
        cliff: Array = truth(before, random) + end * (GRID == 1)
        return cliff
    size = random.uniform(0.005, 0.05)
    top = random.uniform(0.2, 0.9)
    beyond = np.clip(top - 0.2 - GRID, 0, None) + np.clip(GRID - top - 0.1, 0, None)
    curve = {
        "peak": -size * ((GRID - top) / 0.5) ** 2,
        "one-sided": -size * np.where(top > GRID, (top - GRID) / 0.5, 0.3 * (GRID - top)),
        "rise": size * GRID ** random.uniform(0.5, 2),
        "fall": -size * GRID ** random.uniform(0.5, 2),
        "flat": 0.02 * size * GRID,
        "valley": size * ((GRID - top) / 0.5) ** 2,
        "wave": 0.5 * size * np.sin(2 * np.pi * (GRID + top)),
        "plateau": -size * beyond / 0.5,
        "step": size * (top < GRID) * random.choice([-1, 1]),
    }
    return np.asarray(curve[shape])


def answers(
    curve: Array, documents: int, random: np.random.Generator, tasks: int = 20
) -> list[Array]:
    """Right or wrong by λ and document, a table per task; tasks differ in level and in bend.

    Abilities are Gaussian, 0.7 of their variance the document's own at every λ, the rest smooth
    along λ, so that neighbouring λ agree on most documents.
    """
    apart = GRID[:, None] - GRID[None, :]
    smooth = np.exp(-0.5 * (apart / 0.3) ** 2)
    root = np.linalg.cholesky(0.7 + 0.3 * smooth + 1e-9 * np.eye(len(GRID)))
    bends = random.multivariate_normal(np.zeros(len(GRID)), smooth, tasks) * 0.02
    bends -= bends.mean(axis=0)  # of the average nothing but `curve` is left
    found = []
    for level, bend in zip(np.linspace(0.3, 0.75, tasks), bends, strict=True):
        means = np.clip(level + curve + bend, 0.01, 0.99)
        limit = np.vectorize(NormalDist().inv_cdf)(means)
        ability = root @ random.standard_normal((len(GRID), documents))
        found.append((ability < limit[:, None]).astype(float))
    return found


def block(values: list[Array], places: list[int], documents: slice) -> Block:
    """What a sweep of these λ over these documents gives."""
    tasks = [
        TaskCurve(str(n), str(n), "c", "acc,none", part, np.arange(part.shape[1]))
        for n, part in enumerate(each[places][:, documents] for each in values)
    ]
    share = tasks[0].values.shape[1] / values[0].shape[1]
    return block_of(even_suite("ICL", tasks), places, share * len(places) / len(GRID))


def search(values: list[Array], confidence: float) -> tuple[int, float, float]:
    """Place of the chosen λ, cost, confidence."""
    documents = values[0].shape[1]
    shares = block_shares([documents] * len(values))
    ends = np.round(np.cumsum((0, *shares)) * documents).astype(int)
    blocks: list[Block] = []
    places = first_places(len(GRID))
    for start, stop in pairwise(ends):
        blocks.append(block(values, places, slice(start, stop)))
        found = belief(list(GRID), blocks)
        spent = sum(each.cost for each in blocks)
        following = shares[min(len(blocks), len(shares) - 1)]
        most = int((BUDGET - spent) * len(GRID) / following + 1e-9)
        places = next_places(found, most)
        if found.confidence >= confidence or not places:
            break
    return found.chosen, spent, found.confidence


def simulate(curves: int, tasks: int, documents: int) -> dict[str, list[tuple[float, ...]]]:
    """Per shape of the truth, one row of figures per curve."""
    random = np.random.default_rng(0)
    rows: dict[str, list[tuple[float, ...]]] = {shape: [] for shape in SHAPES}
    for number in range(curves):
        shape = SHAPES[number % len(SHAPES)]
        curve = truth(shape, random)
        values = answers(curve, documents, random, tasks)
        chosen, cost, sure = search(values, CONFIDENCE)
        grid = int(np.mean([each.mean(axis=1) for each in values], axis=0).argmax())
        whole = belief(list(GRID), [block(values, list(range(len(GRID))), slice(0, None))])
        lost = [float(curve.max() - curve[place]) for place in (chosen, grid, whole.chosen)]
        rows[shape].append((*(each <= TOLERANCE + 1e-12 for each in lost), cost, sure, lost[0]))
    return rows


def main(curves: int) -> None:
    """Simulate, and publish the table."""
    lines = []
    for tasks, documents in SIZES:
        shown = (tasks, documents) == _SHOWN
        rows = simulate(3 * curves if shown else curves, tasks, documents)
        every = {"all": [each for part in rows.values() for each in part]}
        for shape, each in {**(rows if shown else {}), **every}.items():
            good, argmax, smooth, cost, sure, lost = np.array(each, dtype=float).T
            shares = (good, sure, argmax, smooth, cost)
            cells = [f"{100 * part.mean():.1f}%" for part in shares]
            stated = sure >= _SURE
            cells[2:2] = [str(stated.sum()), *(_percent(part[stated]) for part in (sure, good))]
            last = [f"{100 * cost.max():.1f}%", f"{100 * lost.mean():.3f}"]
            lines.append([shape, tasks, documents, len(each), *cells, *last])
        print(*lines, sep="\n", flush=True)
    head = ["true curve", "tasks", "documents of each", "curves", "auto good", "its confidence"]
    head += ["sure", "their confidence", "of them good", "full grid, argmax"]
    head += ["full grid, smoothed", "mean cost", "largest cost", "mean loss"]
    text = (
        f"“Good”: the true average at the chosen λ is within {100 * TOLERANCE:g} points of the "
        f"best on the grid 0:1:0.1. Tasks with right or wrong answers; costs are shares of "
        "the full grid's evaluations, losses in points. “Full grid”: all documents at all λ, and "
        "the largest mean, or the same smoothing as auto's. The confidence is what auto says of "
        "itself when it ends, to be compared with “good”: of all searches, and of those that are "
        f"sure, which state {_SURE:g} or more."
    )
    publish(
        "auto", f"{text}\n\n{table(head, lines)}", command=f"python -m benchmarks.auto {curves}"
    )


def _percent(part: Array) -> str:
    return f"{100 * part.mean():.1f}%" if len(part) else "–"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 660)
