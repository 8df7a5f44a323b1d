"""The best λ from a part of the grid and of the documents: what is known, and what to ask next.

The average of the tasks along the grid, f, has a Gaussian prior: any level, and around it a smooth
curve of unknown size and length (squared exponential, both summed out over a small table with their
marginal likelihoods as weights). A block of documents that was evaluated at some λ gives their
means, whose errors are known from the documents and are paired: the same documents at every λ of
the block. The posterior is drawn from; a λ is *good* in a draw where f there is within `TOLERANCE`
of the draw's maximum. The λ that is good most often is chosen, with that share as confidence.
(Gaussian process optimisation with correlated errors, cf. Srinivas et al. 2010, arXiv 0912.3995.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pa_harness.analysis.resampling import Array
    from pa_harness.analysis.trajectory import Suite


TOLERANCE = 0.002  # of the average, a fraction: 0.2 points
CONFIDENCE = 0.95  # from which the choice is settled
_SHARES = (1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of every task's documents, block after block
_FIRST = 64  # documents of the first block, of all tasks
_FIRST_EACH = 12  # of each task
_SIZES = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08)  # standard deviation of the curve
_LENGTHS = (0.15, 0.25, 0.4, 0.7)  # over which it bends
_LEVEL = 1.0  # standard deviation of the level, which is a fraction: nothing is known of it
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
    covariance = np.zeros((len(places), len(places)))
    for task, weight in zip(suite.tasks, suite.weights, strict=True):
        spread = np.atleast_2d(np.cov(task.values))
        covariance = covariance + weight**2 * spread / task.values.shape[1]
    return Block(tuple(places), suite.mean(), covariance, cost)


def belief(grid: Sequence[float], blocks: Sequence[Block], seed: int = 0) -> Belief:
    """The posterior on the grid.

    Args:
        grid: all λ, ascending.
        blocks: what was evaluated.
        seed: of the draws.
    """
    lams = np.asarray(grid, dtype=float)
    rows = np.concatenate([block.places for block in blocks]).astype(int)
    seen = np.concatenate([block.mean for block in blocks])
    errors = _stacked([block.covariance for block in blocks])
    centre = float(seen.mean())
    parts = []
    for size in _SIZES:
        for length in _LENGTHS:
            apart = (lams[:, None] - lams[None, :]) / length
            prior = _LEVEL**2 + size**2 * np.exp(-0.5 * apart**2)
            parts.append(_posterior(prior, rows, seen - centre, errors))
    logs = np.array([part[0] for part in parts])
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    mean = sum(share * part[1] for share, part in zip(shares, parts, strict=True)) + centre
    draws = _draws(parts, shares, np.random.default_rng(seed))
    top = draws.max(axis=1, keepdims=True)
    good = (draws >= top - TOLERANCE).mean(axis=0)
    chosen = int(good.argmax())
    best = np.bincount(draws.argmax(axis=1), minlength=len(lams)) / len(draws)
    return Belief(chosen, float(good[chosen]), best, np.asarray(mean))


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


def _posterior(
    prior: Array, rows: NDArray[np.int64], seen: Array, errors: Array
) -> tuple[float, Array, Array]:
    """Log marginal likelihood, mean and covariance on the grid."""
    across = prior[:, rows]
    total = prior[np.ix_(rows, rows)] + errors
    root = np.linalg.cholesky(total)
    half = np.linalg.solve(root, across.T)
    white = np.linalg.solve(root, seen)
    log = -0.5 * float(white @ white) - float(np.log(np.diag(root)).sum())
    return log, half.T @ white, prior - half.T @ half


def _draws(
    parts: Sequence[tuple[float, Array, Array]], shares: Array, random: np.random.Generator
) -> Array:
    """Draws of f, from each part as many as its share."""
    counts = random.multinomial(_DRAWS, shares)
    drawn = []
    for (_, mean, covariance), count in zip(parts, counts, strict=True):
        if count:
            values, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.clip(values, 0, None))
            drawn.append(mean + random.standard_normal((count, len(mean))) @ root.T)
    return np.concatenate(drawn)


def _stacked(blocks: Sequence[Array]) -> Array:
    """The blocks on a diagonal; errors of different documents are independent.

    A trillionth on the diagonal keeps a block that is equal at all its λ from being singular.
    """
    size = sum(len(block) for block in blocks)
    whole = np.zeros((size, size))
    place = 0
    for block in blocks:
        whole[place : place + len(block), place : place + len(block)] = block
        place += len(block)
    return whole + 1e-10 * np.eye(size)
