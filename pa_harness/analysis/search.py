"""The best λ from a part of the grid and of the documents: what is known, and what to ask next.

The average of the tasks along the grid has the prior of `analysis.smoothing`, with kinks. A block
of documents that was evaluated at some λ gives their means, whose errors are known from the
documents and are paired: the same documents at every λ of the block. The posterior is drawn from; a
λ is *good* in a draw where the average there is within `TOLERANCE` of the draw's maximum. The λ
that is good most often is chosen, with that share as confidence.
(Gaussian process optimisation with correlated errors, cf. Srinivas et al. 2010, arXiv 0912.3995.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.frame import Frame
from pa_harness.analysis.smoothing import posterior

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.analysis.intervals import Array
    from pa_harness.analysis.smoothing import Posterior
    from pa_harness.analysis.trajectory import Suite


TOLERANCE = 0.002  # of the average, a fraction: 0.2 points
CONFIDENCE = 0.95  # from which the choice is settled
_SHARES = (1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of every task's documents, block after block
_FIRST = 64  # documents of the first block, of all tasks
_FIRST_EACH = 12  # of each task
_DRAWS = 4000
_COVERED = 0.9  # a next block asks the λ that are best in this share of the draws


@dataclass(frozen=True)
class Block:
    """Means of one block of documents at some λ.

    Attributes:
        places: of these λ in the grid.
        mean: of the average, shape (λ,).
        covariance: of the means' errors, shape (λ, λ).
        cost: evaluations, as a share of the full grid's.
    """

    places: tuple[int, ...]
    mean: Array
    covariance: Array
    cost: float


@dataclass(frozen=True)
class Belief:
    """What the blocks say of the grid.

    Attributes:
        chosen: place of the λ that is good most often.
        confidence: how often it is, a fraction.
        best: how often each λ is the best, shape (grid,).
        mean: posterior mean of the average, shape (grid,).
    """

    chosen: int
    confidence: float
    best: Array
    mean: Array


def block_of(suite: Suite, places: Sequence[int], cost: float) -> Block:
    """The block of an average's tasks, as a sweep evaluated them.

    Args:
        suite: the average; its tasks' values have one row for each of `places`.
        places: of the sweep's λ in the grid.
        cost: share of the full grid's evaluations.
    """
    found = Frame(suite.tasks).measure(suite)
    return Block(tuple(places), found.estimate, found.covariance, cost)


def belief(grid: Sequence[float], blocks: Sequence[Block], seed: int = 0) -> Belief:
    """The posterior on the grid.

    Args:
        grid: all λ, ascending.
        blocks: what was evaluated.
        seed: of the draws.
    """
    lams = np.asarray(grid, dtype=float)
    places = np.concatenate([block.places for block in blocks]).astype(int)
    seen = np.concatenate([block.mean for block in blocks])
    errors = _stacked([block.covariance for block in blocks])
    found = posterior(lams, places, seen[None], errors, kinks=True)
    draws = _draws(found, np.random.default_rng(seed))
    top = draws.max(axis=1, keepdims=True)
    good = (draws >= top - TOLERANCE).mean(axis=0)
    chosen = int(np.lexsort((found.mean[0], good))[-1])  # of equals the highest
    best = np.bincount(draws.argmax(axis=1), minlength=len(lams)) / len(draws)
    return Belief(chosen, float(good[chosen]), best, found.mean[0])


def block_shares(counts: Sequence[int]) -> tuple[float, ...]:
    """Shares of every task's documents, one block after the other; they sum to 1.

    The first has some documents in any case: from very few, whose answers are the same at every λ
    by chance, the errors are underestimated and the confidence is not true.

    Args:
        counts: documents of each task.
    """
    number, first = 1, _SHARES[0]
    while first < 1 and (first * sum(counts) < _FIRST or first * min(counts) < _FIRST_EACH):
        first += _SHARES[number]
        number += 1
    return (first, *_SHARES[number:])


def first_places(count: int) -> list[int]:
    """The coarse grid: every other λ, and both ends."""
    return sorted({*range(0, count, 2), count - 1})


def next_places(found: Belief, most: int) -> list[int]:
    """The λ to evaluate on the next block: where the best may still be; at least two.

    Args:
        found: so far.
        most: how many the budget allows.

    Returns:
        Their places, ascending; none where the budget does not allow two.
    """
    if most < 2:
        return []
    order = np.argsort(-found.best, kind="stable")
    covered = np.cumsum(found.best[order])
    wanted = int((covered < _COVERED).sum()) + 1
    return sorted(int(place) for place in order[: min(most, max(2, wanted))])


def _draws(found: Posterior, random: np.random.Generator) -> Array:
    """Draws of the curve, from each entry of the table as many as its weight."""
    counts = random.multinomial(_DRAWS, found.weights[0])
    drawn = []
    for mean, covariance, count in zip(found.means[0], found.covariances, counts, strict=True):
        if count:
            values, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.clip(values, 0, None))
            drawn.append(mean + random.standard_normal((count, len(mean))) @ root.T)
    return np.concatenate(drawn)


def _stacked(blocks: Sequence[Array]) -> Array:
    """The blocks on a diagonal; errors of different documents are independent."""
    size = sum(len(block) for block in blocks)
    whole = np.zeros((size, size))
    place = 0
    for block in blocks:
        whole[place : place + len(block), place : place + len(block)] = block
        place += len(block)
    return whole
