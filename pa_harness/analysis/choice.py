"""Which λ? The best of several noisy points flatters itself, so its gain is measured elsewhere.

Cross-fitting: the documents of every task are split at random into halves; λ* is chosen on one half
and its gain over λ = 1 measured on the other, both ways round, over many splits. With d_i the
difference of document i at the λ chosen without it, the gain of a split is the mean of the d_i, and

    gain = mean over splits,   se² = mean over splits of the variance of one split's gain,

with λ* taken as given within a split. Simulations with known truth (benchmarks/coverage.py) show
that this interval holds or is too wide, and that of the splits' mean alone (which would take out
the variance that splits share) is too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.resampling import generator, halves
from pa_harness.analysis.summary import against_instruct
from pa_harness.analysis.trajectory import ICL, IF, weighted_suite
from pa_harness.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pa_harness.analysis.resampling import Array
    from pa_harness.analysis.trajectory import Suite, TaskCurve, Trajectory

    Pick = Callable[[Array, Array], NDArray[np.int64]]

SPLITS = 200
_Z = 1.959963984540054  # of the normal distribution, 95% two-sided


@dataclass(frozen=True)
class Gain:
    """Value at the chosen λ minus that at λ = 1, cross-fitted, with its 95% interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Choice:
    """One way of choosing and what it chose."""

    rule: str  # best, constrained or weighted
    meaning: str  # the rule in words
    objective: str  # the average that is maximised
    lam: float  # chosen on all documents
    value: float  # of the objective there
    instruct_value: float  # of the objective at λ = 1
    naive_gain: float  # their difference: flatters
    gain: Gain
    often: tuple[float, ...]  # share of halves that chose each λ
    instruction_change: float  # IF(λ) − IF(1), NaN without instruction tasks
    verdict: str  # better, indistinguishable, kept (λ = 1, in every half) or unclear
    sentence: str


@dataclass(frozen=True)
class Choices:
    """Every choice that the sweep allows, and the Pareto front of (ICL, IF)."""

    label: str
    lams: tuple[float, ...]
    choices: tuple[Choice, ...]
    pareto: tuple[float, ...]  # λ that no other λ beats in both; empty without IF
    splits: int
    instruction: str  # what IF is the mean of


def choose(
    trajectory: Trajectory,
    tolerance: float = 0.02,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Choices:
    """Choose λ by every rule that the sweep allows.

    Args:
        trajectory: the sweep.
        tolerance: ε of the constraint IF(λ) ≥ (1 − ε) IF(1), a fraction.
        weights: of a weighted average, by task, category, ICL or IF.
        seed: of the splits.

    Raises:
        RunError: the sweep has no λ = 1, no ICL task, or not the tasks that weights name.
    """
    if trajectory.at(1.0) is None:
        raise RunError(
            f"The sweep has λ = {', '.join(f'{lam:g}' for lam in trajectory.lams)}, not λ = 1. A "
            "choice is a gain over λ = 1: sweep it too."
        )
    icl, followed = trajectory.suite(ICL), trajectory.suite(IF)
    if icl is None:
        raise RunError(
            "The sweep has no task for ICL: all are of the category instruction. Sweep few-shot "
            "tasks too."
        )
    judge = _Judge(trajectory, followed, seed)
    found = [judge.by("best", "best ICL", icl, None)]
    if followed is not None:
        meaning = f"best ICL with IF ≥ {100 * (1 - tolerance):g}% of IF(1)"
        if followed.mean()[trajectory.at(1.0)] < 0:  # a log-likelihood
            meaning = f"best ICL with IF at most {100 * tolerance:g}% of |IF(1)| below IF(1)"
        found.append(judge.by("constrained", meaning, icl, 1 - tolerance))
    if weights:
        meaning = "best " + " + ".join(f"{weight:g}·{name}" for name, weight in weights.items())
        found.append(judge.by("weighted", meaning, weighted_suite(trajectory, weights), None))
    front = _pareto(trajectory.lams, icl.mean(), followed.mean()) if followed else ()
    lams = tuple(float(lam) for lam in trajectory.lams)
    return Choices(trajectory.label, lams, tuple(found), front, SPLITS, trajectory.instruction)


def _pareto(lams: Array, first: Array, second: Array) -> tuple[float, ...]:
    """The λ for which no other is at least as good in both and better in one."""
    return tuple(
        float(lam)
        for lam, x, y in zip(lams, first, second, strict=True)
        if not ((first >= x) & (second >= y) & ((first > x) | (second > y))).any()
    )


class _Judge:
    """One sweep's splits, the same for every rule."""

    def __init__(self, trajectory: Trajectory, followed: Suite | None, seed: int) -> None:
        self._trajectory, self._followed, self._seed = trajectory, followed, seed
        self._lams = trajectory.lams
        self._one = int(np.searchsorted(trajectory.lams, 1.0))
        self._first = {
            task.name: halves(task.values.shape[1], SPLITS, generator(seed, f"split {task.name}"))
            for task in trajectory.tasks
        }

    def by(self, rule: str, meaning: str, objective: Suite, floor: float | None) -> Choice:
        """Choose by one rule: the best objective, where IF is at least `floor` of its IF(1)."""
        whole = objective.mean()[None]
        limit = None if floor is None else self._followed
        chosen = self._pick(whole, limit.mean()[None] if limit else whole, floor)[0]
        picked = [
            self._pick(
                self._half_means(objective, side),
                self._half_means(limit, side) if limit else np.empty(0),
                floor,
            )
            for side in (True, False)
        ]
        gain = self._gain(objective, picked[0], picked[1])
        counts = np.bincount(np.concatenate(picked), minlength=len(self._lams))
        followed = self._followed.mean() if self._followed else np.full(len(self._lams), np.nan)
        values = whole[0]
        verdict = self._verdict(objective, gain)
        if verdict == "unclear" and counts[self._one] == counts.sum():
            verdict = "kept"
        choice = Choice(
            *(rule, meaning, objective.name, float(self._lams[chosen]), float(values[chosen])),
            instruct_value=float(values[self._one]),
            naive_gain=float(values[chosen] - values[self._one]),
            gain=gain,
            often=tuple(float(share) for share in counts / counts.sum()),
            instruction_change=float(followed[chosen] - followed[self._one]),
            verdict=verdict,
            sentence="",
        )
        return _with_sentence(choice, len(self._lams), len(objective.counted))

    def _pick(self, objective: Array, limit: Array, floor: float | None) -> NDArray[np.int64]:
        """The row of the best λ in each split, shape (splits,); of equals the one nearest 1."""
        allowed = objective.copy()
        if floor is not None:
            one = limit[:, [self._one]]
            kept = limit >= one - (1 - floor) * np.abs(one)  # also where IF is negative
            allowed[~kept] = -np.inf
        nearest = np.argsort(np.abs(self._lams - 1.0), kind="stable")
        best: NDArray[np.int64] = nearest[allowed[:, nearest].argmax(axis=1)]
        return best

    def _half_means(self, suite: Suite, side: bool) -> Array:
        """Means at each λ over one half of each split's documents, shape (splits, λ)."""

        def of_task(task: TaskCurve) -> Array:
            inside = self._first[task.name] == side
            means: Array = inside @ task.values.T / np.maximum(inside.sum(axis=1), 1)[:, None]
            return means

        return suite.combine(of_task)

    def _gain(self, suite: Suite, first: NDArray[np.int64], second: NDArray[np.int64]) -> Gain:
        """Each half judges the λ that the other chose.

        Args:
            suite: whose value gains.
            first: chosen on the first halves, shape (splits,).
            second: on the second.
        """
        gain, variance = 0.0, 0.0
        for task, weight in zip(suite.tasks, suite.weights, strict=True):
            count = task.values.shape[1]
            if count < 2:
                return Gain(float("nan"), float("nan"), float("nan"))
            differences = task.values - task.values[self._one]
            inside = self._first[task.name]
            for split in range(SPLITS):
                seen = np.where(
                    inside[split], differences[second[split]], differences[first[split]]
                )
                gain += weight * seen.mean() / SPLITS
                variance += weight**2 * seen.var(ddof=1) / count / SPLITS
        half = _Z * float(np.sqrt(variance))
        return Gain(gain, gain - half, gain + half)

    def _verdict(self, objective: Suite, gain: Gain) -> str:
        """better: the cross-fitted gain is above 0; indistinguishable: no λ leaves the band."""
        if gain.low > 0:
            return "better"
        band = against_instruct(self._trajectory, objective, seed=self._seed)
        apart = (band.band_low > 0) | (band.band_high < 0)
        return "unclear" if apart.any() else "indistinguishable"


def _with_sentence(choice: Choice, lams: int, counted: int) -> Choice:
    gain = choice.gain
    if (
        0
        <= min(choice.value, choice.instruct_value)
        <= max(choice.value, choice.instruct_value)
        <= 1
    ):
        unit, factor, digits = " points", 100, 2
    else:  # log-likelihoods, or weights beyond 1: the objective's own unit
        unit, factor, digits = "", 1, 4
    estimate, low, high = (
        f"{factor * number:+.{digits}f}" for number in (gain.estimate, gain.low, gain.high)
    )
    numbers = (
        f"{estimate}{unit} (95% interval {low} to {high}; cross-fitted over {SPLITS} random "
        f"halvings of the documents, {counted} task{'s' * (counted != 1)})"
    )
    chosen = (
        f"by the rule '{choice.meaning}' λ = {choice.lam:g} is chosen out of {lams} values of λ"
    )
    if choice.verdict == "better":
        text = f"{chosen}; choosing so gains {numbers} over λ = 1."
    elif choice.verdict == "indistinguishable":
        text = f"No λ is distinguishable from 1: {chosen}, and choosing so gains {numbers}."
    elif choice.verdict == "kept":
        text = f"{chosen}, and in every one of {2 * SPLITS} random halves of the documents."
    else:
        text = f"No λ is distinguishably better than 1: {chosen}, and choosing so gains {numbers}."
    return replace(choice, sentence=text[0].upper() + text[1:])
