"""Sweeps with known truth: answers of documents that are alike along λ, and in passages."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.trajectory import TaskCurve, Trajectory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LAMS = np.linspace(0, 1, 11).round(1)
_SKEW = 0.8  # standard deviation of the logarithms of skewed values


@dataclass(frozen=True)
class Design:
    """How a sweep's answers come about.

    A document is right where its ability is below a limit. Abilities are Gaussian; `smooth` of
    their variance bends along λ, the rest is the document's own at every λ, so that neighbouring λ
    agree on most documents. `shared` of both is that of the passage.

    Attributes:
        documents: of each task.
        passage: documents on one passage.
        shared: share of the variance that a passage's documents have in common.
        smooth: share of the variance that changes along λ; next to 0, few answers change.
        copies: times that each document is in its task.
        twice: whether tasks are in pairs that ask the same documents.
        draws: of the demonstrations.
        spread: standard deviation of a draw's effect on a task's mean at one λ.
        named: whether the documents' clusters are known to the analysis.
        skewed: values are log-normal about the means, instead of right or wrong.
    """

    documents: int = 200
    passage: int = 1
    shared: float = 0.5
    smooth: float = 0.3
    copies: int = 1
    twice: bool = False
    draws: int = 1
    spread: float = 0.0
    named: bool = True
    skewed: bool = False


def simulate(
    design: Design, means: Array, random: np.random.Generator, category: str = "c"
) -> Trajectory:
    """One sweep.

    Args:
        design: of its answers.
        means: of each task at each λ, shape (tasks, λ).
        random: draws the documents, passages and demonstrations.
        category: of all tasks.
    """
    lams = LAMS if means.shape[1] == len(LAMS) else np.linspace(0, 1, means.shape[1]).round(3)
    tasks = []
    own = None
    for number, row in enumerate(means):
        if not (design.twice and number % 2):
            own = _abilities(design, lams, random)
        values = _answers(design, row, lams, own, random)
        count = values.shape[2]
        of = number // 2 if design.twice else number
        clusters = np.arange(count) // design.copies // design.passage + 10_000_000 * of
        name = f"{category} {number}"
        curve = TaskCurve(
            *(name, name, category, "acc,none", values.mean(axis=0), np.arange(count)),
            clusters=clusters if design.named else None,
            by_draw=values if design.draws > 1 else None,
        )
        tasks.append(curve)
    return Trajectory("simulated", lams, tuple(tasks), ())


def _abilities(design: Design, lams: Array, random: np.random.Generator) -> Array:
    """Shape (λ, documents)."""
    count = -(-design.documents // design.copies)
    passages = np.arange(count) // design.passage
    apart = lams[:, None] - lams[None, :]
    root = np.linalg.cholesky(np.exp(-0.5 * (apart / 0.3) ** 2) + 1e-9 * np.eye(len(lams)))

    def drawn(*shape: int) -> Array:
        if design.passage == 1:
            return random.standard_normal((*shape, count))
        common = random.standard_normal((*shape, passages[-1] + 1))[..., passages]
        alone = random.standard_normal((*shape, count))
        return np.sqrt(design.shared) * common + np.sqrt(1 - design.shared) * alone

    found: Array = np.sqrt(1 - design.smooth) * drawn() + np.sqrt(design.smooth) * (
        root @ drawn(len(lams))
    )
    return found


def _answers(
    design: Design, means: Array, lams: Array, own: Array | None, random: np.random.Generator
) -> Array:
    """Right or wrong, or skewed; shape (draws, λ, documents)."""
    assert own is not None
    apart = lams[:, None] - lams[None, :]
    effects = random.multivariate_normal(
        np.zeros(len(lams)), design.spread**2 * np.exp(-0.5 * (apart / 0.3) ** 2), design.draws
    )
    if design.skewed:
        right = (means + effects)[..., None] * np.exp(_SKEW * own - _SKEW**2 / 2)
    else:
        limits = np.vectorize(NormalDist().inv_cdf)(np.clip(means + effects, 0.001, 0.999))
        right = (own < limits[..., None]).astype(np.float64)
    return np.repeat(right, design.copies, axis=2)[..., : design.documents]


def trajectory(
    means: Array, documents: int, random: np.random.Generator, category: str = "c"
) -> Trajectory:
    """Task k has mean `means[k, l]` at λ_l; documents are independent."""
    return simulate(Design(documents), means, random, category)


def truth(shape: str, tasks: int, lams: Array = LAMS) -> Array:
    """Means by task and λ: flat, peak (best at ½, 3 points over λ = 1) or rise (best at 1)."""
    level = np.linspace(0.4, 0.7, tasks)[:, None]
    gain = {
        "flat": 0 * lams,
        "peak": 0.03 * (1 - 4 * (lams - 0.5) ** 2),
        "rise": 0.04 * lams,
    }
    means: Array = level + gain[shape]
    return means
