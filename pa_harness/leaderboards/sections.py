"""Results beside every leaderboard and file that they can be held against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pa_harness.data_file import places
from pa_harness.errors import RunError, listed
from pa_harness.interchange.names import matching, suggestions
from pa_harness.leaderboards.boards import BOARDS, NAMES
from pa_harness.leaderboards.comparison import (
    Contender,
    Names,
    Row,
    beside,
    check_names,
    compare,
    contenders,
    differing,
    missing,
)
from pa_harness.leaderboards.findings import MARGIN, endpoint_sentence
from pa_harness.leaderboards.published import published
from pa_harness.leaderboards.ranks import Standing, standings
from pa_harness.leaderboards.reading import read_results
from pa_harness.leaderboards.scores import board_scores

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pa_harness.interchange.reported import Reported
    from pa_harness.leaderboards.boards import Board

RUNNABLE = {"open_llm_v1": "pa_open_llm_v1", "open_llm_v2": "leaderboard"}  # lm-eval groups


@dataclass(frozen=True)
class Section:
    """All that is said about our results on one leaderboard, or beside one file."""

    title: str
    leaderboard: str
    snapshot: str
    rows: tuple[Row, ...]
    sentences: tuple[str, ...]
    standings: tuple[Standing, ...]


def sections(
    numbers: Sequence[Reported],
    to: Sequence[str] = (),
    references: Sequence[Reported] = (),
    names: Names | None = None,
    margin: float = MARGIN,
) -> list[Section]:
    """The comparison of results with leaderboards and with other numbers.

    Args:
        numbers: ours.
        to: names of leaderboards; none is all that share a task with the results, or, where
            there are `references`, those that these belong to.
        references: numbers that a user added. Those with a `leaderboard` join its published ones,
            the others are compared task by task.
        names: what our models are called.
        margin: within which a number is reproduced; a fraction.

    Raises:
        RunError: nothing can be compared, and it says what would; the margin is none.
    """
    if not 0 < margin < 1:
        raise RunError(f"--margin {margin:g}: expected a fraction above 0, such as {MARGIN:g}.")
    ours = contenders(numbers, names or Names())
    added = [row for row in references if row.leaderboard in NAMES]
    others = [row for row in references if row.leaderboard not in NAMES]
    wanted = set(to) or ({row.leaderboard for row in added} if references else set(NAMES))
    known = [*published(), *added]
    check_names(ours, names or Names(), [*known, *others])
    found = [_board_section(board, ours, known, margin) for board in BOARDS if board.name in wanted]
    found = [section for section in found if section.rows]
    if others:
        found.append(_file_section(ours, others, margin))
    if not found:
        raise RunError(_nothing(numbers, wanted))
    return found


def named_references(to: Sequence[str]) -> tuple[list[str], list[Reported]]:
    """What ``--to`` names: leaderboards, and the numbers in files.

    Raises:
        RunError: a name is neither a leaderboard nor a path.
    """
    boards, paths = [], []
    for name in to:
        if name in NAMES:
            boards.append(name)
        elif Path(name).exists():
            paths.append(Path(name))
        else:
            near = suggestions(name, NAMES)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise RunError(
                f"--to {name} is neither a leaderboard nor a file.{hint} Leaderboards: "
                f"{', '.join(NAMES)}."
            )
    return boards, read_results(paths, published=True)


def _board_section(
    board: Board, ours: Sequence[Contender], known: Sequence[Reported], margin: float
) -> Section:
    rows, sentences, ranks = [], [], []
    for contender in ours:
        scores = board_scores(board, contender.numbers)
        if not scores:
            continue
        mine = compare(board, contender, scores, known)
        rows += mine
        ranks += standings(board, contender, scores, known)
        sentence = missing(board, contender, known) or endpoint_sentence(contender, mine, margin)
        sentences += [sentence] if sentence else []
    order = [task.title for task in board.tasks]
    rows.sort(key=lambda row: order.index(row.task))  # stable: the contenders keep their order
    return Section(
        *(board.title, board.name, board.snapshot, tuple(rows), tuple(sentences), tuple(ranks)),
    )


def _file_section(ours: Sequence[Contender], others: Sequence[Reported], margin: float) -> Section:
    """Task by task, metric by metric; a file with one model stands beside all of ours.

    Between the ends another run's number at the same λ comes before the instruct model's.
    """
    models = list(dict.fromkeys(row.model for row in others))
    rows: list[Row] = []
    sentences: list[str] = []
    for contender in ours:
        itself = [] if contender.endpoint else matching(contender.numbers[0].model, models)
        alone = models if len(models) == 1 else []
        names = itself or matching(contender.reference, models) or alone
        mine = [
            _compared(number, contender, row)
            for number in contender.numbers
            for row in others
            if row.model in names[:1] and _same_number(number, row)
        ]
        rows += mine
        sentence = endpoint_sentence(contender, mine, margin)
        sentences += [sentence] if sentence else []
    sources = list(dict.fromkeys(row.source for row in others))
    source = places(sources, most=3)
    if not rows:
        raise RunError(
            f"{source} shares no model and task with the results. It has the models:\n"
            f"{listed(models)}\nand the tasks:\n"
            f"{listed(dict.fromkeys(row.task for row in others))}\n"
            "--base, --instruct or --model NAME says which of them ours is."
        )
    return Section(source, "", "", tuple(rows), tuple(sentences), ())


def _same_number(number: Reported, row: Reported) -> bool:
    """Whether task and metric agree; a table may leave the metric's filter out."""
    same = row.metric in (number.metric, number.metric.partition(",")[0])
    return row.task == number.task and same


def _compared(number: Reported, contender: Contender, row: Reported) -> Row:
    reasons, unknown = differing(number, row)
    for name, mine, theirs in (
        ("shots", number.num_fewshot, row.num_fewshot),
        ("task version", number.version or None, row.version or None),
        ("documents", number.n or None, row.n or None),
    ):
        if mine is None or theirs is None:
            unknown.append(name)
        elif mine != theirs:
            reasons.append(f"{name}: {mine}, not {theirs}")
    counted = number.n > 0 and number.n == row.n  # a table knows of no limit
    if number.limit != row.limit and not counted:
        reasons.append(f"limit: {number.limit:g}, not {row.limit:g} (0 is none)")
    for whose, one, other in (("ours", number, row), ("published", row, number)):
        only = [each for each in one.departures if each not in other.departures]
        reasons += [f"only {whose}: {each}" for each in only]
    if number.scale != row.scale:
        reasons.append(f"scale: {number.scale}, not {row.scale}")
    return beside(f"{number.task} {number.metric}", number, contender, row, reasons, unknown)


def _nothing(numbers: Sequence[Reported], wanted: Iterable[str]) -> str:
    tasks = dict.fromkeys(number.task.partition("::")[0] for number in numbers)
    runs = [
        f"{board.name}: {', '.join(task.title for task in board.tasks)}"
        + (f" (--tasks {RUNNABLE[board.name]})" if board.name in RUNNABLE else "")
        for board in {board.name: board for board in BOARDS}.values()
        if board.name in wanted
    ]
    return (
        f"No task of these results is on a leaderboard asked for. The results have:\n"
        f"{listed(tasks)}\nThe leaderboards:\n{listed(runs)}\n"
        "Evaluate one of their groups, or name a file with other numbers: --to FILE."
    )
