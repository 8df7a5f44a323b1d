"""The suite's average: every task counts once, whatever number of parts lm-eval runs it in.

lm-eval averages a group over its leaf tasks, so the 57 subjects of MMLU would outweigh all else.
Here parts (MMLU's subjects, BIG-Bench Hard's 27 tasks) are averaged first, without weights, and
count as one task:

    score = 1/T Σ_t x_t,   stderr = 1/T √(Σ_t stderr_t²),   x_t = 1/P_t Σ_p x_p   (parts p of t)

The normalised score is the same for (x_p − b_p) / (1 − b_p), with b_p the random baseline: 0 is
chance and 1 is perfect (as in the Open LLM Leaderboard v2, but neither clipped at 0 nor times 100).
Leaf tasks are parts of one task where their metadata says ``counts_as: TASK``, or where lm-eval
named them ``TASK::PART`` because a group file defines them.
The standard errors treat the tasks as fixed and the documents as sampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

JUDGED = "judged"  # as metadata's metric: a judge scores the task, none of its own numbers does


@dataclass(frozen=True)
class Measured:
    """One leaf task's main metric.

    Attributes:
        task: The task it counts as.
        value: Fraction.
        stderr: Fraction; nan where it is undefined.
        baseline: What guessing scores; fraction below 1.
    """

    task: str
    value: float
    stderr: float
    baseline: float


@dataclass(frozen=True)
class Average:
    """A suite's average; fractions, nan where undefined.

    Attributes:
        score: Mean of the tasks' main metrics.
        stderr: Its standard error.
        normalized: Mean of the tasks' scores between the random baseline (0) and perfect (1).
        normalized_stderr: Its standard error.
        tasks: How many tasks were counted.
    """

    score: float
    stderr: float
    normalized: float
    normalized_stderr: float
    tasks: int


def counted_as(name: str, metadata: Mapping[str, Any]) -> str:
    """The task that a leaf task is a part of, or itself."""
    return str(metadata.get("counts_as") or name.partition("::")[0])


def measured(name: str, metadata: Mapping[str, Any], metrics: Mapping[str, Any]) -> Measured | None:
    """The main metric of one leaf task, or None where its metadata names none or it was not run.

    Args:
        name: The leaf task's name.
        metadata: The YAML's: ``metric`` (as ``acc,none``), ``random_baseline``, ``counts_as``.
        metrics: lm-eval's results of this task.
    """
    key = metadata.get("metric")
    if key is None or key not in metrics:
        return None
    metric, _, filtered = str(key).partition(",")
    stderr = metrics.get(f"{metric}_stderr,{filtered}")
    return Measured(
        task=counted_as(name, metadata),
        value=float(metrics[key]),
        stderr=float(stderr) if isinstance(stderr, int | float) else math.nan,
        baseline=float(metadata.get("random_baseline", 0.0)),
    )


def average(leaves: Iterable[Measured]) -> Average:
    """The suite's average over `leaves`; see the module for the formula."""
    tasks: dict[str, list[Measured]] = {}
    for leaf in leaves:
        tasks.setdefault(leaf.task, []).append(leaf)
    raw = [_mean([(p.value, p.stderr) for p in parts]) for parts in tasks.values()]
    scaled = [_mean([_normalized(p) for p in parts]) for parts in tasks.values()]
    return Average(*_mean(raw), *_mean(scaled), len(tasks))


def group_row(
    name: str, metadata: Mapping[str, Mapping[str, Any]], results: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """A group's row in lm-eval's results: ``score`` and ``score_normalized``, with standard errors.

    All are nan if a leaf task lacks its main metric: an average over fewer tasks is another score.

    Args:
        name: The group's name, as shown.
        metadata: Each leaf task's metadata, by the leaf's name.
        results: lm-eval's results of each leaf task, by the same names.
    """
    leaves = [measured(leaf, metadata[leaf], results.get(leaf, {})) for leaf in metadata]
    found = [leaf for leaf in leaves if leaf is not None]
    mean = average(found if len(found) == len(leaves) else [])
    return {
        "alias": name,
        "name": name,
        "sample_len": sum(results.get(leaf, {}).get("sample_len", 0) for leaf in metadata),
        "score,none": mean.score,
        "score_stderr,none": mean.stderr,
        "score_normalized,none": mean.normalized,
        "score_normalized_stderr,none": mean.normalized_stderr,
    }


def _normalized(leaf: Measured) -> tuple[float, float]:
    room = 1 - leaf.baseline
    return (leaf.value - leaf.baseline) / room, leaf.stderr / room


def _mean(values: list[tuple[float, float]]) -> tuple[float, float]:
    if not values:
        return math.nan, math.nan
    n = len(values)
    return sum(v for v, _ in values) / n, math.sqrt(sum(e * e for _, e in values)) / n
