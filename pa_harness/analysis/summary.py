"""What a sweep shows, with its uncertainty: differences along λ, paired by document.

Sources of chance are kept apart. Intervals and bands are over *documents* (in clusters:
`analysis.frame`) within the tasks of the sweep, and over *draws of the demonstrations* where there
are several; with one draw they hold for these demonstrations. `over_tasks` is over *tasks*: what
other tasks of the kind might have shown; the documents' noise is in the tasks' spread, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.analysis.calibration import calibration_error
from pa_harness.analysis.frame import Frame, jackknife
from pa_harness.analysis.intervals import Intervals, Pointwise, critical
from pa_harness.analysis.measure import clear_of, differences, percent, quotient, values
from pa_harness.analysis.trajectory import ICL, even_suite
from pa_harness.analysis.verdict import beyond_noise
from pa_harness.errors import RunError, did_you_mean
from pa_harness.markdown import Scale
from pa_harness.runs.judgements import LENGTH_CONTROLLED
from pa_harness.runs.samples import COSTS
from pa_harness.tasks.shipped import INSTRUCTION

if TYPE_CHECKING:
    from pa_harness.analysis.intervals import Array
    from pa_harness.analysis.trajectory import Suite, TaskCurve, Trajectory


_SHARES = ("answers_ended", "thinking_closed")  # of `ASIDE`: fractions
_FEWEST = 3  # counted tasks from which an interval over tasks is given


@dataclass(frozen=True)
class Curve:
    """One task or average along λ; values in the metrics' own unit, `fractional` in percent.

    A difference is absent (None) where the sweep lacks its λ. `fractional` is
    100 (v(λ) − v(1)) / v(1), the measure of Figure 1 of İrsoy et al. 2025. What is said of λ = 1
    here is of `Summary.against`.
    """

    name: str
    kind: str  # suite; task (a counted one); or part, of a counted task that has several
    category: str
    documents: int
    clusters: int  # that these documents are of
    draws: int  # of the demonstrations, the fewest of its tasks
    counted: int  # counted tasks in it
    value: Pointwise
    to_instruct: Intervals | None  # v(λ) − v(1)
    to_base: Intervals | None  # v(λ) − v(0)
    fractional: Intervals | None
    over_tasks: Pointwise | None  # v(λ) − v(1) again, tasks as drawn
    outside: tuple[bool, ...] = ()  # by λ: v(λ) = v(1) is outside, corrected for all tasks and λ

    @property
    def scale(self) -> Scale:
        """How its values and differences are shown."""
        return Scale.of(self.value.estimate)

    @property
    def few_shot(self) -> bool:
        """Whether it measures something else than instruction following."""
        return self.category != INSTRUCTION


@dataclass(frozen=True)
class Summary:
    """All curves of one sweep, and means of what is known beside the scores."""

    label: str
    lams: Array
    curves: tuple[Curve, ...]  # ICL, IF, categories, ICL normalised; counted tasks; their parts
    aside: dict[str, Pointwise]  # by what it is: `ASIDE`, and a judge's rate by the judge's name
    notes: tuple[str, ...]
    cells: int  # differences of tasks and parts that `outside` is corrected for
    instruction: str = ""  # what IF is the mean of
    knots: tuple[str, ...] = ()  # names of the checkpoints at λ = 0, 1, …
    against: float = 1.0  # the λ that differences are to
    costs: Costs | None = None  # where all tasks that generate have a score from 0 to 1
    mine: bool = False  # λ = 1 is the user's fine-tune, λ = 0 its parent

    @property
    def draws(self) -> int:
        """Of the demonstrations, the most of a curve."""
        return max(curve.draws for curve in self.curves)

    def curve(self, name: str) -> Curve | None:
        """The curve of that name."""
        return next((curve for curve in self.curves if curve.name == name), None)


@dataclass(frozen=True)
class Costs:
    """The mean score of the tasks that generate, and what their answers take.

    Attributes:
        score: of the main metrics, fractions.
        tokens: of an answer, thinking included.
    """

    score: Pointwise
    tokens: Pointwise


ASIDE = {  # of `Summary.aside`, and the metric by document that each is the mean of
    "calibration": "hit,options",
    "brier": "brier,options",
    "answer_length": COSTS["answer_tokens"],
    "answers_ended": COSTS["ended"],
    "thinking": COSTS["thinking_tokens"],
    "thinking_closed": COSTS["closed"],
}


def summarise(trajectory: Trajectory, against: float | str = 1.0) -> Summary:
    """Every difference with its intervals.

    Args:
        trajectory: the sweep.
        against: the λ that differences are to, λ = 1 or any other of the sweep; or the name of a
            checkpoint, as `Trajectory.knots` has it.

    Raises:
        RunError: the sweep lacks that λ or checkpoint; of λ = 1 the differences are absent instead.
    """
    against = _lam_of(trajectory, against)
    if against != 1 and trajectory.at(against) is None:
        swept = ", ".join(f"{lam:g}" for lam in trajectory.lams)
        raise RunError(f"--against {against:g}: the sweep has λ = {swept}. Expected one of these.")
    frame = Frame(trajectory.tasks)
    normalised = trajectory.normalised()
    suites = [*trajectory.suites(), *([normalised] if normalised else [])]
    tasks, parts = [], []
    for name in dict.fromkeys(task.counted for task in trajectory.tasks):
        members = [task for task in trajectory.tasks if task.counted == name]
        tasks.append(even_suite(name, members))
        parts += [even_suite(task.name, [task]) for task in members if len(members) > 1]
    cells = (len(tasks) + len(parts)) * (len(trajectory.lams) - 1)
    curves = [
        _curve(frame, trajectory, suite, (kind, cells), against)
        for kind, group in (("suite", suites), ("task", tasks), ("part", parts))
        for suite in group
    ]
    return Summary(
        *(trajectory.label, trajectory.lams, tuple(curves), _aside(frame, trajectory)),
        *((*trajectory.notes, *_unscaled(trajectory)), cells, trajectory.instruction),
        *(trajectory.knots, against, _costs(frame, trajectory)),
        mine=trajectory.is_fine_tune,
    )


def _lam_of(trajectory: Trajectory, text: float | str) -> float:
    """A number, or where a checkpoint of that name stands."""
    try:
        return float(text)
    except ValueError:
        pass
    knots = [name.lower() for name in trajectory.knots]
    if knots.count(str(text).lower()) == 1:
        return float(knots.index(str(text).lower()))
    known = ", ".join(f"{number} is {name}" for number, name in enumerate(trajectory.knots))
    raise RunError(
        f"--against {text}: expected a λ of the sweep or the name of a checkpoint: {known}. "
        f"{did_you_mean(str(text), trajectory.knots)}".rstrip()
    )


def _unscaled(trajectory: Trajectory) -> tuple[str, ...]:
    """Why there is no normalised average, where some of its tasks could be scaled."""
    icl = trajectory.suite(ICL)
    names = [task.name for task in icl.tasks if math.isnan(task.baseline)] if icl else []
    if icl is None or not 0 < len(names) < len(icl.tasks):
        return ()
    return (f"No normalised average: {', '.join(names)} have no random_baseline.",)


def _curve(
    frame: Frame, trajectory: Trajectory, suite: Suite, what: tuple[str, int], against: float
) -> Curve:
    """One curve.

    Args:
        frame: of all tasks.
        trajectory: theirs.
        suite: what the curve is the mean of.
        what: the curve's kind, and how many differences of tasks are looked at.
        against: the λ that differences are to.
    """
    kind, cells = what
    one, zero = trajectory.at(against), trajectory.at(0.0)
    found = frame.measure(suite)
    apart = None if one is None else frame.against(suite, one)
    to_instruct = beyond_noise(differences(apart), apart.reach) if apart else None
    from_base = None if zero is None else frame.against(suite, zero)
    draws = [1 if task.by_draw is None else len(task.by_draw) for task in suite.tasks]
    return Curve(
        name=suite.name,
        kind=kind,
        category="" if kind == "suite" else suite.tasks[0].category,
        documents=sum(task.values.shape[1] for task in suite.tasks),
        clusters=frame.clusters(suite),
        draws=min(draws),
        counted=len(suite.counted),
        value=values(found, fraction=all(map(_is_fraction, suite.tasks))),
        to_instruct=to_instruct,
        to_base=beyond_noise(differences(from_base), from_base.reach) if from_base else None,
        fractional=None if one is None or not to_instruct else percent(found, one, to_instruct),
        over_tasks=None if one is None or kind != "suite" else _over_tasks(suite, one),
        outside=() if kind == "suite" or not apart else clear_of(apart, cells),
    )


def _is_fraction(task: TaskCurve) -> bool:
    return bool(task.values.min() >= 0 and task.values.max() <= 1)


def _over_tasks(suite: Suite, one: int) -> Pointwise | None:
    """Counted tasks as drawn from many of their kind: Student's t with tasks − 1 degrees."""
    if len(suite.counted) < _FEWEST:
        return None
    rows = []
    for name in suite.counted:
        mean = even_suite(name, [task for task in suite.tasks if task.counted == name]).mean()
        rows.append(mean - mean[one])
    apart = np.array(rows).T
    estimate, error = apart.mean(axis=1), np.sqrt((jackknife(apart) ** 2).sum(axis=1))
    half = critical(len(rows) - 1) * error
    return Pointwise(estimate, estimate - half, estimate + half, error)


def _generating(trajectory: Trajectory) -> Suite | None:
    """The mean of the tasks with lengths of answers; None where one has no score from 0 to 1."""
    tasks = [task for task in trajectory.tasks if ASIDE["answer_length"] in task.more]
    scored = all(task.averaged and _is_fraction(task) for task in tasks)
    return even_suite("generating", tasks) if tasks and scored else None


def _costs(frame: Frame, trajectory: Trajectory) -> Costs | None:
    suite = _generating(trajectory)
    if suite is None:
        return None
    tokens = frame.measure(suite, ASIDE["answer_length"])
    return Costs(values(frame.measure(suite), fraction=True), values(tokens, fraction=False))


def _aside(frame: Frame, trajectory: Trajectory) -> dict[str, Pointwise]:
    """Calibration, answer length (tokens), share of ended answers; each judge's own rates."""
    found = {}
    for name, key in ASIDE.items():
        tasks = [task for task in trajectory.tasks if key in task.more]
        if tasks:
            suite = even_suite(name, tasks)
            found[name] = (
                calibration_error(frame, suite)
                if name == "calibration"
                else values(frame.measure(suite, key), fraction=name in _SHARES)
            )
    answered = _generating(trajectory)
    if answered and "thinking" in found:
        rate = quotient(frame.measure(answered), frame.measure(answered, ASIDE["answer_length"]))
        parts = rate.estimate, rate.low, rate.high, rate.error
        found["per_thousand_tokens"] = Pointwise(*(1000 * part for part in parts))
    for task in trajectory.tasks:
        if LENGTH_CONTROLLED in task.more:
            each = frame.measure(even_suite(task.name, [task]), LENGTH_CONTROLLED)
            found[f"{LENGTH_CONTROLLED} {task.name}"] = values(each, fraction=False)
    return found
