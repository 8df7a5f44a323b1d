"""Where a model of ours would stand: its rank among published models of its size.

The rank is computed here. Nothing was submitted, and the published table that is ranked is the
excerpt in `pa_harness.leaderboards.published`, not all that was ever submitted.

    rank = 1 + number of published runs with a higher number

The rank's range is that of our number ± 1.96 · √2 · stderr (`comparison` says why √2): the ranks
that other documents of the kind, asked of both, might have given.

Numbers are rounded as the leaderboard prints them; runs that are equal share a rank. A printed
average was made of unrounded numbers and can differ by one in its last digit from the mean of the
printed ones. So where all of ours are those of a published run, its average is ours, and a
published model's own numbers have its published rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pa_harness.interchange.names import billions, size_class
from pa_harness.leaderboards.published import published_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.interchange.reported import Reported
    from pa_harness.leaderboards.boards import Board
    from pa_harness.leaderboards.comparison import Contender
    from pa_harness.leaderboards.scores import BoardScore

COMPUTED = "computed, not submitted"
AVERAGE = "average"
_CRITICAL = 1.96  # of z, two-sided at 5%
_DECIMALS = 4  # of a fraction: two of the percentage that is printed


@dataclass(frozen=True)
class Standing:
    """A rank, or why there is none.

    Attributes:
        what: the task's title, or ``average``.
        rank: 0 where there is none.
        best: the lowest rank of its range; 0 where our standard error is not known.
        worst: the highest.
        of: published runs of the size class, ours not counted.
        note: `COMPUTED`, or why there is no rank.
    """

    contender: str
    lam: float
    what: str
    value: float
    rank: int
    of: int
    size_class: str
    note: str
    best: int = 0
    worst: int = 0


def standings(
    board: Board,
    contender: Contender,
    scores: Sequence[BoardScore],
    published: Sequence[Reported],
) -> list[Standing]:
    """The ranks of a contender on a leaderboard: its average's first, then its tasks'.

    Precision and a row's own chat template do not matter here, as on the leaderboards themselves,
    which mix them; shots, metric, version and documents do. Arguments as of `comparison.compare`.
    """
    parameters = max(
        (n.parameters for n in contender.numbers if n.parameters > 0), default=math.nan
    )
    size = size_class(billions(contender.reference, parameters))
    rows = [
        row
        for row in board.rows(published)
        if row.official and size_class(billions(row.model)) == size
    ]
    found = []
    if board.averaged:
        found.append(_average(board, contender, scores, rows, size))
    for score in scores:
        values = [row.value for row in score.task.rows(rows)]
        problem = "; ".join(score.reasons)
        what = score.task.title
        number = score.value, score.stderr
        found.append(_standing(contender, what, number, values, (size, problem)))
    return found


def average(board: Board, scores: Sequence[BoardScore]) -> float:
    """The leaderboard's average; NaN unless all of its tasks are there."""
    if len(scores) < len(board.tasks):
        return math.nan
    return math.fsum(score.value for score in scores) / len(scores)


def _average(
    board: Board,
    contender: Contender,
    scores: Sequence[BoardScore],
    rows: Sequence[Reported],
    size: str,
) -> Standing:
    there = {score.task.title for score in scores}
    absent = [task.title for task in board.tasks if task.title not in there]
    unfair = [score.task.title for score in scores if score.reasons]
    problems = [f"not measured: {', '.join(absent)}"] if absent else []
    problems += [f"not comparable: {', '.join(unfair)}"] if unfair else []
    values = [row.value for row in rows if (row.task, row.metric) == board.headline]
    value = _printed_average(board, scores, rows)
    stderr = math.hypot(*(score.stderr for score in scores)) / len(scores)
    return _standing(contender, AVERAGE, (value, stderr), values, (size, "; ".join(problems)))


def _printed_average(board: Board, scores: Sequence[BoardScore], rows: Sequence[Reported]) -> float:
    """The mean of the tasks, but where a published run has the same ones the average of that."""
    mean = average(board, scores)
    ours = {score.task.name: round(score.value, _DECIMALS) for score in scores}
    for run in published_runs(rows):
        theirs = {row.task: round(row.value, _DECIMALS) for row in run}
        printed = theirs.pop(board.headline[0], mean)
        if theirs == ours:
            return printed
    return mean


def _standing(
    contender: Contender,
    what: str,
    value_and_error: tuple[float, float],
    values: Sequence[float],
    size_and_problem: tuple[str, str],
) -> Standing:
    (value, stderr), (size, problem) = value_and_error, size_and_problem
    if not problem and not size:
        problem = "its size is not known"
    if not problem and not values:
        problem = f"no published number of a model {size}"
    ranks = [0, 0, 0]  # of the number, of the upper end of its interval, of the lower
    if not problem:
        half = _CRITICAL * math.sqrt(2) * stderr
        ends = [] if math.isnan(half) else [value + half, value - half]
        for place, each in enumerate([value, *ends]):
            ours = round(each, _DECIMALS)
            ranks[place] = 1 + sum(round(other, _DECIMALS) > ours for other in values)
    note = problem or COMPUTED
    rank, best, worst = ranks
    return Standing(
        *(contender.label, contender.lam, what, value, rank, len(values), size, note, best, worst),
    )
