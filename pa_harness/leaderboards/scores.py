"""A model's own numbers brought to a leaderboard's tasks, with every departure from its protocol.

Parts (MMLU's subjects, BBH's subtasks) are put together as the leaderboard did, and normalised
where it showed normalised numbers (`pa_harness.leaderboards.boards`). Standard errors of means
over parts are

    √(Σ w² stderr²),   Σ w = 1,

and where one of a task's two metrics has none (IFEval's accuracy by instruction) the other's
stands for it: there are more instructions than prompts, so it is no smaller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pa_harness.interchange.reported import NO, UNKNOWN, YES, Reported
from pa_harness.leaderboards.boards import Part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pa_harness.leaderboards.boards import Board, BoardTask

Leaves = dict[str, dict[str, Reported]]  # task -> metric -> number
_DIGITS = 12  # a mean of equal numbers is that number


@dataclass(frozen=True)
class BoardScore:
    """One leaderboard task as measured.

    Attributes:
        value: on the leaderboard's scale.
        reasons: why it is no number of the leaderboard's protocol; empty where it is.
        unknown: settings that the results do not state.
        example: one of the numbers it was made of.
    """

    task: BoardTask
    value: float
    stderr: float
    reasons: tuple[str, ...]
    unknown: tuple[str, ...]
    example: Reported


def board_scores(board: Board, numbers: Sequence[Reported]) -> list[BoardScore]:
    """The tasks of the leaderboard that one model's numbers hold, in the leaderboard's order."""
    leaves: Leaves = {}
    for number in numbers:
        leaves.setdefault(number.task, {})[number.metric] = number
    found = (_of_task(board, task, leaves) for task in board.tasks)
    return [score for score in found if score is not None]


def _of_task(board: Board, task: BoardTask, leaves: Leaves) -> BoardScore | None:
    whole = leaves.get(task.name, {})
    if any(number.scale == "normalized" for number in whole.values()):
        return _whole(board, task, whole)
    for pattern in (*task.accepted, *task.near):
        present = [name for name in task.leaves(pattern) if name in leaves]
        if present:
            return _measured(board, task, pattern, {name: leaves[name] for name in present})
    return _whole(board, task, whole) if whole else None


def _measured(board: Board, task: BoardTask, pattern: str, leaves: Leaves) -> BoardScore | None:
    """From lm-eval's leaf tasks, of which some may lack."""
    chosen = {name: _metrics(task, found) for name, found in leaves.items()}
    if not all(chosen.values()):  # AlpacaEval: one of its metrics may be there alone
        return None
    examples = [numbers[0] for numbers in chosen.values()]
    notes, open_questions = _nearness(task, pattern, examples)
    wanted = task.metrics[0]
    if not _is(examples[0].metric, wanted):
        notes.append(f"metric: {examples[0].metric}, not {wanted}")
    names = dict(zip(task.leaves(pattern), task.parts or [_one(task)], strict=True))
    parts = [names[name] for name in chosen]
    values = [math.fsum(n.value for n in numbers) / len(numbers) for numbers in chosen.values()]
    errors = [_stderr(numbers) for numbers in chosen.values()]
    if len(chosen) < len(names):
        notes.append(f"parts: {len(chosen)} of {len(names)}")
    notes += _strange(values)
    more, unknown = _protocol(board, task, pattern, examples)
    value, stderr = _together(board, task, parts, values, errors)
    unknown = (*open_questions, *unknown)
    return BoardScore(task, value, stderr, (*notes, *more), unknown, examples[0])


def _nearness(
    task: BoardTask, pattern: str, numbers: Sequence[Reported]
) -> tuple[list[str], list[str]]:
    """How a task that only resembles the leaderboard's differs, and what of that is not known.

    A task of lm-eval's and the leaderboard's own may bear one name (``gsm8k``). A metric without
    lm-eval's filter is the word of a table or of another program: either may be meant.
    """
    note = task.near.get(pattern, "")
    if not note:
        return [], []
    if pattern == task.name and not any("," in number.metric for number in numbers):
        return [], [note.partition(":")[0]]
    return [note], []


def _whole(board: Board, task: BoardTask, found: Mapping[str, Reported]) -> BoardScore:
    """From one number for the whole task, as other programs' records and tables have it."""
    number = next(iter(found.values()))
    reasons, unknown = _protocol(board, task, "", [number])
    reasons = (*_strange([number.value]), *reasons)
    value, stderr = number.value, number.stderr
    scale = "normalized" if board.normalized else "raw"
    if number.scale != scale:
        if task.per_part or scale == "raw":
            reasons = (*reasons, f"scale: {number.scale}, not {scale} (needs the parts)")
        else:
            value, stderr = _normalised(value, stderr, task.options)
    return BoardScore(task, value, stderr, reasons, unknown, number)


def _strange(values: Sequence[float]) -> list[str]:
    """That something is no fraction, as in a file that was altered, or where lm-eval has N/A."""
    wrong = [value for value in values if not 0 <= value <= 1]
    there = ["none" if math.isnan(value) else f"{value:g}" for value in wrong[:1]]
    return [f"value: {each}, not from 0 to 1" for each in there]


def _one(task: BoardTask) -> Part:
    return Part(task.name, task.options, task.documents)


def _is(metric: str, wanted: str) -> bool:
    """Whether a metric is the `wanted` one; a table may leave lm-eval's filter out."""
    if metric == wanted or metric.startswith("mean("):
        return True
    whole = "," in metric and "," in wanted
    return not whole and metric.partition(",")[0] == wanted.partition(",")[0]


def _metrics(task: BoardTask, found: Mapping[str, Reported]) -> list[Reported]:
    """The leaderboard's metrics of a leaf; where they lack, the leaf's main one."""
    numbers = [n for wanted in task.metrics for key, n in found.items() if _is(key, wanted)]
    if numbers or task.shared:
        return numbers
    return [next((n for n in found.values() if n.main), next(iter(found.values())))]


def _stderr(numbers: Sequence[Reported]) -> float:
    known = [n.stderr for n in numbers if not math.isnan(n.stderr)]
    return math.fsum(known) / len(known) if known else math.nan


def _together(
    board: Board,
    task: BoardTask,
    parts: Sequence[Part],
    values: Sequence[float],
    errors: Sequence[float],
) -> tuple[float, float]:
    """The task's value and standard error from its parts'."""
    pairs = list(zip(values, errors, strict=True))
    if board.normalized and task.per_part:
        zipped = zip(pairs, parts, strict=True)
        pairs = [_normalised(x, error, part.options) for (x, error), part in zipped]
    by_size = task.weighted and not (board.normalized and task.per_part)
    weights = [float(part.documents) if by_size else 1.0 for part in parts]
    total = math.fsum(weights)
    weighted = [weight / total for weight in weights]
    value = math.fsum(w * x for w, (x, _) in zip(weighted, pairs, strict=True))
    stderr = math.sqrt(math.fsum((w * e) ** 2 for w, (_, e) in zip(weighted, pairs, strict=True)))
    if board.normalized and not task.per_part:
        value, stderr = _normalised(value, stderr, task.options)
    return round(value, _DIGITS), stderr


def _normalised(value: float, stderr: float, options: int) -> tuple[float, float]:
    chance = 1 / options if options else 0.0
    scaled = (value - chance) / (1 - chance)
    return (scaled if scaled != scaled else max(0.0, scaled)), stderr / (1 - chance)


def _protocol(
    board: Board, task: BoardTask, pattern: str, numbers: Sequence[Reported]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What of the leaderboard's protocol was not kept, and what is not known to have been."""
    reasons, unknown = [], []
    shots = sorted({-1 if n.num_fewshot is None else n.num_fewshot for n in numbers})
    if shots == [-1]:
        unknown.append("shots")
    elif shots != [task.shots]:
        reasons.append(f"shots: {', '.join(map(str, shots))}, not {task.shots}")
    versions = task.accepted.get(pattern, ())
    strange = sorted({n.version for n in numbers if n.version and n.version not in versions})
    if versions and strange:
        reasons.append(f"task version: {', '.join(strange)}, not {' or '.join(versions)}")
    elif not all(n.version for n in numbers) and (versions or not pattern):
        unknown.append("task version")
    if any(n.chat_template == YES for n in numbers) and board.chat_template == NO:
        reasons.append("chat template: applied; the leaderboard applied none")
    elif any(n.chat_template == UNKNOWN for n in numbers):
        unknown.append("chat template")
    documents = sum(n.n for n in numbers)
    limit = max(n.limit for n in numbers)
    if limit:
        reasons.append(f"limit: {limit:g}; {documents} of {task.documents} documents")
    elif not documents:
        unknown.append("documents")
    elif documents != task.documents:
        reasons.append(f"documents: {documents}, not {task.documents}")
    reasons += sorted({each for n in numbers for each in n.departures if _matters(task, each)})
    return tuple(reasons), tuple(unknown)


def _matters(task: BoardTask, departure: str) -> bool:
    """Generation settings change nothing where likelihoods are compared."""
    generated = any(m.startswith(("exact_match", "prompt_level")) for m in task.metrics)
    return generated or not departure.startswith("gen_kwargs")
