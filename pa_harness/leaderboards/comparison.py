"""Our numbers beside published ones: difference, z, and whether they may be compared at all.

    difference = ours − published,   z = difference / (√2 · stderr of ours)

√2 · stderr is the error of a difference between runs that share nothing. Two runs of one protocol
share their documents, so it is an upper bound, and how far below it the true error is cannot be
told from printed scores. So a large |z| contradicts, but a small one shows little. Beside it stands
the difference that four of five such comparisons would have shown,

    visible = (1.96 + 0.84) · √2 · stderr.

Without a standard error both are undefined.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pa_harness.errors import RunError
from pa_harness.interchange.names import matching, short, suggestions
from pa_harness.interchange.reported import UNKNOWN, YES, Reported
from pa_harness.leaderboards.published import published_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.leaderboards.boards import Board
    from pa_harness.leaderboards.scores import BoardScore

COMPARABLE = "comparable"
TEMPLATE = "chat template"
_SHOWN = 1.96 + 0.84  # of z: two-sided at 5%, with a power of 80%


@dataclass(frozen=True)
class Contender:
    """One of our models: an end of a pair, a point between, or a model of its own.

    Attributes:
        label: as in tables: ``λ = 0.5``, or the name.
        lam: NaN for a model that is not between two others, or under a schedule.
        reference: the name whose published numbers stand beside it. Everywhere but at λ = 0
            it is the instruct model's.
    """

    label: str
    lam: float
    reference: str
    numbers: tuple[Reported, ...]

    @property
    def endpoint(self) -> bool:
        """Whether the reference is this very model."""
        first = self.numbers[0]
        return not first.adapted or (not first.way and self.lam in (0, 1))


@dataclass(frozen=True)
class Row:
    """One task of one contender beside one published number; NaN and empty where there is none."""

    task: str
    contender: str
    lam: float
    value: float
    stderr: float
    model: str
    published: float
    difference: float
    z: float
    verdict: str
    reasons: tuple[str, ...]
    unknown: tuple[str, ...]
    source: str
    visible: float = math.nan  # the difference that 80% of such comparisons would have shown


@dataclass(frozen=True)
class Names:
    """What the user says our models are called on leaderboards; empty: as in the results."""

    base: str = ""
    instruct: str = ""
    model: str = ""


def contenders(numbers: Sequence[Reported], names: Names) -> list[Contender]:
    """The models of the results: λ = 0 and 1 first, then between them, then others."""
    groups: dict[tuple[str, str, str], list[Reported]] = {}
    for number in numbers:
        pair = (number.base, number.instruct) if number.adapted else (number.model, "")
        groups.setdefault((*pair, number.place), []).append(number)
    several = len({key[:2] for key in groups if key[1]}) > 1
    found = [_contender(group, names, several=several) for group in groups.values()]
    return sorted(found, key=lambda each: (math.isnan(each.lam), not each.endpoint, each.lam))


def check_names(ours: Sequence[Contender], names: Names, published: Sequence[Reported]) -> None:
    """See that what the user calls our models is of use.

    Raises:
        RunError: none of our models is the one that is named, several are, or no number was ever
            published under the name.
    """
    plain = [each for each in ours if not each.numbers[0].adapted]
    adapted = len(plain) < len(ours)
    for flag, name, there, what in (
        ("--base", names.base, adapted, "the base of a pair"),
        ("--instruct", names.instruct, adapted, "the instruct model of a pair"),
        ("--model", names.model, len(plain) == 1, "one model that is no pair"),
    ):
        if name and not there:
            raise RunError(
                f"{flag} {name} names {what}. The results are of: "
                f"{', '.join(each.label for each in ours)}. --base and --instruct are for results "
                "with λ, --model for one other model."
            )
        known = [row.model for row in published]
        if name and not matching(name, known):
            near = suggestions(name, known)
            hint = f" Near it: {', '.join(near)}." if near else ""
            raise RunError(
                f"{flag} {name}: nothing is published under this name.{hint} Leave {flag} out to "
                "compare without it."
            )


def _contender(group: list[Reported], names: Names, *, several: bool) -> Contender:
    first = group[0]
    if not first.adapted:
        name = names.model or first.model
        return Contender(short(first.model), first.lam, name, tuple(group))
    is_base = first.lam == 0 and not first.way
    reference = (names.base or first.base) if is_base else (names.instruct or first.instruct)
    label = first.strength
    if several:
        label += f", {short(first.base)} → {short(first.instruct)}"
    return Contender(label, first.lam, reference, tuple(group))


def compare(
    board: Board,
    contender: Contender,
    scores: Sequence[BoardScore],
    published: Sequence[Reported],
) -> list[Row]:
    """The contender's tasks of a leaderboard beside the published numbers of its reference.

    Args:
        board: its rules.
        contender: ours.
        scores: the contender's, of `board_scores`.
        published: of any leaderboards and models.
    """
    run = _run_of(board, contender, published)
    return [_row(score, contender, next(iter(score.task.rows(run)), None)) for score in scores]


def _run_of(board: Board, contender: Contender, published: Sequence[Reported]) -> list[Reported]:
    """The published run of the reference that is most like ours, of those there are.

    The official before others, then that of our precision and template, then the latest.
    """
    rows = board.rows(published)
    names = matching(contender.reference, [row.model for row in rows])
    ours = contender.numbers[0]

    def likeness(run: list[Reported]) -> tuple[bool, int, str]:
        first = run[0]
        agreeing = (first.precision == ours.precision) + (first.chat_template == ours.chat_template)
        return first.official, agreeing, first.date

    runs = published_runs(row for row in rows if row.model in names)
    return max(runs, key=likeness, default=[])


def missing(board: Board, contender: Contender, published: Sequence[Reported]) -> str:
    """A sentence where the reference has no published number; empty where it has."""
    known = [row.model for row in board.rows(published)]
    if not contender.endpoint or matching(contender.reference, known):
        return ""  # between the ends it is the instruct model, of which λ = 1 speaks
    near = suggestions(contender.reference, known)
    hint = f" Near it: {', '.join(near)}." if near else ""
    flag = {0.0: "--base", 1.0: "--instruct"}.get(contender.lam, "--model")
    return (
        f"{contender.label}: no published number of {contender.reference}.{hint} "
        f"{flag} NAME says which model it is."
    )


def _row(score: BoardScore, contender: Contender, row: Reported | None) -> Row:
    reasons, unknown = list(score.reasons), list(score.unknown)
    if row is not None:
        more, less = differing(score.example, row)
        if any(reason.startswith(TEMPLATE) for reason in reasons):
            more = [reason for reason in more if not reason.startswith(TEMPLATE)]
        reasons += more
        unknown = list(dict.fromkeys([*unknown, *less]))
    return beside(score.task.title, score, contender, row, reasons, unknown)


def beside(
    task: str,
    number: BoardScore | Reported,
    contender: Contender,
    row: Reported | None,
    reasons: Sequence[str],
    unknown: Sequence[str],
) -> Row:
    """The row of our number beside a published one, or beside none.

    Args:
        task: its title.
        number: ours.
        contender: whose.
        row: the published one.
        reasons: why the two are not comparable.
        unknown: settings that only one of them states.
    """
    published = row.value if row else math.nan
    difference = round(number.value - published, 12)
    certain = number.stderr > 0 and not math.isnan(difference)
    error = math.sqrt(2) * number.stderr if certain else math.nan
    return Row(
        task=task,
        contender=contender.label,
        lam=contender.lam,
        value=number.value,
        stderr=number.stderr,
        model=row.model if row else "",
        published=published,
        difference=difference,
        z=difference / error,
        verdict=_verdict(reasons, unknown, row is not None),
        reasons=tuple(reasons),
        unknown=tuple(unknown),
        source=row.source if row else "",
        visible=_SHOWN * error,
    )


def differing(ours: Reported, row: Reported) -> tuple[list[str], list[str]]:
    """What differs between our number's settings and this published row's, and what is unknown."""
    reasons, unknown = [], []
    if not row.official:
        reasons.append("not the leaderboard's own run")
    if not (ours.precision and row.precision):
        unknown.append("precision")
    elif ours.precision != row.precision:
        reasons.append(f"precision: {ours.precision}, not {row.precision}")
    if UNKNOWN in (ours.chat_template, row.chat_template):
        unknown.append(TEMPLATE)
    elif ours.chat_template != row.chat_template:
        words = ("applied", "not applied")
        ours_is, theirs = words if ours.chat_template == YES else words[::-1]
        reasons.append(f"{TEMPLATE}: {ours_is}; published: {theirs}")
    return reasons, unknown


def _verdict(reasons: Sequence[str], unknown: Sequence[str], there: bool) -> str:
    """One text for the verdict column."""
    if reasons:
        return f"not comparable: {'; '.join(reasons)}"
    if not there:
        return "no published number"
    if unknown:
        return f"{COMPARABLE} as far as known (unknown: {', '.join(unknown)})"
    return COMPARABLE
