"""Sweeps with known truth: binary answers of documents that are alike along λ."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.trajectory import TaskCurve, Trajectory

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAMS = np.linspace(0, 1, 11).round(1)


def trajectory(
    means: NDArray[np.float64], documents: int, random: np.random.Generator, category: str = "c"
) -> Trajectory:
    """Task k has mean `means[k, l]` at λ_l: a document is right where its ability is low enough.

    Abilities are Gaussian, 0.7 of their variance the document's own at every λ, the rest smooth
    along λ, so that neighbouring λ agree on most documents.
    """
    apart = LAMS[:, None] - LAMS[None, :]
    covariance = 0.7 + 0.3 * np.exp(-0.5 * (apart / 0.3) ** 2) + 1e-9 * np.eye(len(LAMS))
    root = np.linalg.cholesky(covariance / (1 + 1e-9))
    limit = np.vectorize(NormalDist().inv_cdf)(means)
    tasks = []
    for number, row in enumerate(limit):
        ability = root @ random.standard_normal((len(LAMS), documents))
        values = (ability < row[:, None]).astype(float)
        name = f"{category} {number}"
        tasks.append(TaskCurve(name, name, category, "acc,none", values, np.arange(documents)))
    return Trajectory("simulated", LAMS, tuple(tasks), ())


def truth(shape: str, tasks: int) -> NDArray[np.float64]:
    """Means by task and λ: flat, peak (best at ½, 3 points over λ = 1) or rise (best at 1)."""
    level = np.linspace(0.4, 0.7, tasks)[:, None]
    gain = {
        "flat": 0 * LAMS,
        "peak": 0.03 * (1 - 4 * (LAMS - 0.5) ** 2),
        "rise": 0.04 * LAMS,
    }
    means: NDArray[np.float64] = level + gain[shape]
    return means
