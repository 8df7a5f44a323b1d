"""Resamples and intervals as `recomputed_run` needs them; nothing of pa_harness."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

REPLICATES = 2000


def generator(name: str) -> np.random.Generator:
    return np.random.default_rng([0, zlib.crc32(name.encode())])


def resampled(values: Any, name: str) -> Any:
    """Means of resamples of n − 1 of n columns: rows × REPLICATES."""
    count, random, parts = values.shape[1], generator(name), []
    step = max(1, 4_000_000 // count)
    for first in range(0, REPLICATES, step):
        size = (min(step, REPLICATES - first), count - 1)
        drawn = random.integers(count, size=size, dtype=np.int32)
        parts.append(np.stack([row[drawn].mean(axis=1) for row in values]))
    return np.concatenate(parts, axis=1)


def interval(estimate: Any, drawn: Any) -> tuple[Any, Any, Any]:
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    return estimate, low, high


def band(estimate: Any, drawn: Any) -> tuple[Any, Any, Any]:
    """Estimate ± c·se with c the 95% quantile of the largest deviation in units of se."""
    spread = drawn.std(axis=1, ddof=1)
    spread[spread < 1e-12] = 0
    deviations = [
        np.abs(drawn[n] - estimate[n]) / spread[n] for n in range(len(spread)) if spread[n]
    ]
    factor = np.quantile(np.max(deviations, axis=0), 0.95) if deviations else 0.0
    return estimate, estimate - factor * spread, estimate + factor * spread


def of_documents(name: str, samples: list[dict[str, Any]]) -> list[float]:
    """A metric by document; entity F1, no mean, to first order about its value (Cochran 1977)."""
    values = [sample[name] for sample in samples]
    if not isinstance(values[0], list):
        return [float(value) for value in values]
    if not name.endswith("f1"):
        return [float(part) for value in values for part in value]
    right = [2.0 * tp for tp, _, _ in values]
    whole = [2.0 * tp + fp + fn for tp, fp, fn in values]
    f1 = sum(right) / sum(whole)
    return [f1 + (a - f1 * b) * len(whole) / sum(whole) for a, b in zip(right, whole, strict=True)]
