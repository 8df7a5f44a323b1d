"""Which λ? A candidate from a smoothed curve, a verdict from the band, and what choosing gains.

The *candidate* of a rule is the λ with the highest smoothed objective (`analysis.smoothing`) among
those that may be chosen (`analysis.constraints`). It is *better* than λ = 1 only where the band for
all λ at once says so there; the rule then names it, and λ = 1 otherwise. If the band says so of
several λ, the candidate is one of those. What choosing so gains is measured apart, on documents
that had no say (`analysis.crossfit`). From fewer than `FEWEST` clusters nothing is concluded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.asked.language import Asked, constraint, objective
from pa_harness.analysis.constraints import (
    CONFIDENCE,
    Constraint,
    Promise,
    admitted,
    check_shares,
    level_of,
)
from pa_harness.analysis.crossfit import FOLDS, CrossFit, Gain
from pa_harness.analysis.frame import Frame
from pa_harness.analysis.measure import detectable, differences
from pa_harness.analysis.smoothing import posterior, unit_of
from pa_harness.analysis.trajectory import ICL, IF, MINE, weighted_suite
from pa_harness.analysis.verdict import (
    Axis,
    Choice,
    Choices,
    beyond_noise,
    unbeaten,
    verdict_of,
)
from pa_harness.analysis.words import sentence
from pa_harness.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pa_harness.analysis.intervals import Array
    from pa_harness.analysis.trajectory import Suite, Trajectory

_TOLERANCE = 0.02
_FRONTS = 2000  # draws of both averages


def choose(
    trajectory: Trajectory,
    tolerance: float | None = None,
    weights: Mapping[str, float] | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    asked: Asked | None = None,
) -> Choices:
    """Choose λ by every rule that the sweep allows, or by one that says what to keep.

    Where that is not said: the best objective, and the best with IF kept; of a sweep with tasks of
    one's own (`Trajectory.mine`) the best that keeps these. ICL is the objective unless another is
    named.

    Args:
        trajectory: the sweep.
        tolerance: ε of the constraint IF(λ) ≥ (1 − ε) IF(1), or of mine; a fraction, default 0.02.
        weights: of a weighted average, by task, category, ICL or IF.
        confidence: with which the constraint is to be kept for documents of the sweep's kind.
        seed: of the folds.
        asked: what is to be best and what kept.

    Raises:
        RunError: the sweep has no λ = 1, no ICL task, not what is asked for, or not the tasks that
            weights name; a tolerance or confidence that is none; a tolerance of nothing.
    """
    if trajectory.at(1.0) is None:
        raise RunError(
            f"The sweep has λ = {', '.join(f'{lam:g}' for lam in trajectory.lams)}, not λ = 1. A "
            "choice is a gain over λ = 1: sweep it too."
        )
    wanted, epsilon = asked or Asked(ICL), _TOLERANCE if tolerance is None else tolerance
    check_shares(epsilon, confidence)
    best, followed = _objective(trajectory, wanted), trajectory.suite(IF)
    of_mine = trajectory.suite(MINE) and not weights and best.name.removeprefix("−") != MINE
    if tolerance is not None and (wanted.keep or not (of_mine or followed)):
        raise RunError(
            "--tolerance is of what is kept where nothing is said: IF, or the tasks of --mine. "
            f"{'With --keep, say it there.' if wanted.keep else 'The sweep has neither.'}"
        )
    if of_mine and not wanted.keep:
        wanted = Asked(wanted.maximize, (f"{MINE}>={100 * (1 - epsilon):g}%",))
    chooser = _Chooser(trajectory, followed, confidence, seed)
    if wanted.keep:
        return _as_asked(trajectory, wanted, chooser)
    found = [chooser.by("best", f"best {best.name}", best)]
    if followed is not None and best.name.removeprefix("−") != IF:
        kept = Constraint(IF, 1 - epsilon)
        meaning = f"best {best.name} with {kept.text}"
        if followed.mean()[trajectory.at(1.0)] < 0:  # a log-likelihood
            meaning = f"best {best.name} with IF at most {100 * epsilon:g}% of |IF(1)| below IF(1)"
        found.append(chooser.by("constrained", meaning, best, [(kept, followed)]))
    if weights:
        meaning = "best " + " + ".join(f"{weight:g}·{name}" for name, weight in weights.items())
        found.append(chooser.by("weighted", meaning, weighted_suite(trajectory, weights)))
    choices = _choices(trajectory, chooser, found, [best, *([followed] if followed else [])])
    return replace(choices, maximize=asked.maximize if asked else "")


def _objective(trajectory: Trajectory, wanted: Asked) -> Suite:
    if wanted.maximize == ICL and trajectory.suite(ICL) is None:
        raise RunError(
            "The sweep has no task for ICL: all are of the category instruction. Sweep few-shot "
            "tasks too."
        )
    return objective(trajectory, wanted)


def _as_asked(trajectory: Trajectory, asked: Asked, chooser: _Chooser) -> Choices:
    """The one choice that is asked for; the front is of its objective and its first constraint."""
    best = objective(trajectory, asked)
    kept = [constraint(trajectory, text) for text in asked.keep]
    meaning = f"best {best.name}"
    if kept:
        meaning += f" with {', '.join(each.text for each, _ in kept)}"
    found = chooser.by("asked", meaning, best, kept)
    axes = [best, *(suite for _, suite in kept[:1])]
    choices = _choices(trajectory, chooser, [found], axes, less=not (kept and kept[0][0].at_least))
    return replace(choices, maximize=asked.maximize, keep=asked.keep)


def _choices(
    trajectory: Trajectory,
    chooser: _Chooser,
    found: Sequence[Choice],
    axes: Sequence[Suite],
    *,
    less: bool = False,
) -> Choices:
    """The record, with the front of one or two averages; of the second less may be better."""
    lams = tuple(float(lam) for lam in trajectory.lams)
    front = chooser.front(axes[0], axes[1], less=less) if len(axes) == 2 else ((), ())
    shown = [
        Axis(suite.name, tuple(suite.mean().tolist()), less and number == 1)
        for number, suite in enumerate(axes)
    ]
    return Choices(
        *(trajectory.label, lams, tuple(found), *front, trajectory.instruction),
        axes=tuple(shown),
        mine=trajectory.is_fine_tune,
    )


class _Chooser:
    """One sweep's units and folds, the same for every rule."""

    def __init__(
        self, trajectory: Trajectory, followed: Suite | None, confidence: float, seed: int
    ) -> None:
        self._lams, self._followed, self._confidence = trajectory.lams, followed, confidence
        self._one = int(np.searchsorted(trajectory.lams, 1.0))
        self._frame = Frame(trajectory.tasks)
        self._folds = CrossFit(self._frame, trajectory.tasks, seed)
        self._nearest = np.argsort(np.abs(self._lams - 1.0), kind="stable")

    def by(
        self,
        rule: str,
        meaning: str,
        objective: Suite,
        constraints: Sequence[tuple[Constraint, Suite]] = (),
    ) -> Choice:
        """Choose by one rule.

        Args:
            rule: its name.
            meaning: what it is, in words.
            objective: what is to be as high as possible.
            constraints: what is to be kept of which averages.
        """
        promises = [Promise(each, self._frame, of, self._lams) for each, of in constraints]
        whole = self._frame.measure(objective)
        apart = self._frame.against(objective, self._one)
        band = beyond_noise(differences(apart), apart.reach)
        smooth = self._smoothed(objective, whole.covariance, whole.estimate[None])
        means = [each.suite.mean()[None] for each in promises]
        free = self._admitted(promises, means, 1.0)
        better = free & (band.band_low > 0)
        place = int(self._highest(smooth, better if better.any() else free)[0])
        place = place if free.any() else self._one
        picked = self._in_folds(objective, whole.covariance, promises)
        nothing = Gain(float("nan"), float("nan"), float("nan"))
        followed = self._followed
        clusters = self._frame.clusters(objective)
        verdict = verdict_of(band, free[0], place, self._one, clusters)
        shown = detectable(apart, band.factor)
        others = np.delete(shown, self._one) if place == self._one else shown[[place]]
        choice = Choice(
            *(rule, meaning, objective.name),
            lam=self._named(verdict, place),
            candidate=float(self._lams[place]),
            value=float(whole.estimate[place]),
            instruct_value=float(whole.estimate[self._one]),
            difference=float(band.estimate[place]),
            low=float(band.band_low[place]),
            high=float(band.band_high[place]),
            detectable=float(np.median(others)) if len(others) else 0.0,
            gain=self._folds.gain(objective, self._one, picked),
            often=tuple((np.bincount(picked, minlength=len(self._lams)) / len(picked)).tolist()),
            instruction_change=self._folds.gain(followed, self._one, picked)
            if followed
            else nothing,
            kept=tuple(each.kept(level_of(promises, self._confidence)) for each in promises),
            confidence=self._confidence,
            admitted=tuple(free[0].tolist()),
            documents=sum(task.values.shape[1] for task in objective.tasks),
            clusters=clusters,
            verdict=verdict,
            sentence="",
            same=bool((np.maximum(abs(band.estimate), band.error) == 0).all()),
        )
        return replace(choice, sentence=sentence(choice, self._lams))

    def _named(self, verdict: str, place: int) -> float:
        """The λ that a verdict names."""
        if verdict == "none":
            return float("nan")
        return float(self._lams[place if verdict in ("better", "needed") else self._one])

    def _in_folds(
        self, objective: Suite, covariance: Array, promises: Sequence[Promise]
    ) -> NDArray[np.int64]:
        """The row that the rule chooses without each fold."""
        inflation = FOLDS / (FOLDS - 1)
        smooth = self._smoothed(objective, inflation * covariance, self._folds.without(objective))
        means = [self._folds.without(each.suite) for each in promises]
        return self._highest(smooth, self._free(promises, means, inflation))

    def _smoothed(self, objective: Suite, covariance: Array, means: Array) -> Array:
        """The objective's smoothed curves, in units of what 1 is of a fraction."""
        unit = unit_of(objective.mean())
        if np.isnan(covariance).any() or np.isnan(means).any():
            return means / unit
        places = np.arange(len(self._lams))
        return posterior(self._lams, places, means, covariance, unit).mean / unit

    def _free(
        self, promises: Sequence[Promise], means: Sequence[Array], inflation: float
    ) -> NDArray[np.bool_]:
        """Which λ may be chosen, shape (curves, λ); λ = 1 where none may."""
        free = self._admitted(promises, means, inflation)
        free[~free.any(axis=1), self._one] = True
        return free

    def _admitted(
        self, promises: Sequence[Promise], means: Sequence[Array], inflation: float
    ) -> NDArray[np.bool_]:
        """Which λ may be chosen, shape (curves, λ)."""
        pairs = zip(promises, means, strict=True)
        sure = [each.probability(mean, inflation) for each, mean in pairs]
        return admitted(promises, sure, self._lams, self._confidence)

    def _highest(self, smooth: Array, free: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The row of the highest in each curve; of equals the λ nearest 1."""
        found = np.where(free, np.round(smooth, 9), -np.inf)
        best: NDArray[np.int64] = self._nearest[found[:, self._nearest].argmax(axis=1)]
        return best

    def front(
        self, best: Suite, kept: Suite, *, less: bool = False
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The λ that no other beats in both averages, and how often each is one of them.

        The shares are over draws of both averages with their errors, as documents give them.

        Args:
            best: one average.
            kept: the other.
            less: whether less of the other is better.
        """
        first, second = self._frame.measure(best), self._frame.measure(kept)
        sign = -1.0 if less else 1.0
        both = sign * first.covariance_with(second)
        covariance = np.block([[first.covariance, both], [both.T, second.covariance]])
        centre = np.concatenate([first.estimate, sign * second.estimate])
        shares: tuple[float, ...] = ()
        if not np.isnan(covariance).any():
            random = np.random.default_rng(0)
            drawn = random.multivariate_normal(centre, covariance, _FRONTS, method="eigh")
            shares = tuple(unbeaten(*np.split(drawn, 2, axis=1)).mean(axis=0).tolist())
        front = unbeaten(first.estimate[None], (sign * second.estimate)[None])[0]
        return tuple(float(lam) for lam in self._lams[front]), shares
