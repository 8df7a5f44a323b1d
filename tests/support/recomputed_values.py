"""A metric by document as `recomputed_run` needs it; nothing of pa_harness."""

from __future__ import annotations

from typing import Any


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
