"""The scores of a sweep as a table of tasks × λ for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.runs.scores import Score

WIDTH = 80  # columns of a terminal
_NAME = 30  # of them for a task's name, at most


def scores_table(scores: Sequence[Score], width: int = WIDTH) -> str:
    """Every task's main metric at every λ, blocks of columns below each other where it is wide.

    Fractions are given in points (percent), others in the metric's own unit.

    Args:
        scores: of a sweep.
        width: columns that a line may have.
    """
    main = [score for score in scores if score.main]
    lams = sorted({score.lam for score in main})
    tasks = list(dict.fromkeys((score.task, score.key) for score in main))
    if not tasks:
        return ""
    values = {(score.task, score.lam): score for score in main}
    names = [_short(f"{task} ({key.split(',')[0]})") for task, key in tasks]
    rows = [_cells([values.get((task, lam)) for lam in lams]) for task, _ in tasks]
    heads = [f"{lam:g}" for lam in lams]
    left = max(map(len, [*names, "points; λ ="]))
    cell = 2 + max(len(text) for row in [heads, *rows] for text in row)
    fitting = max(1, (width - left) // cell)
    blocks = []
    for first in range(0, len(lams), fitting):
        part = slice(first, first + fitting)
        lines = [f"{name:<{left}}" for name in ["points; λ =", *names]]
        for number, row in enumerate([heads, *rows]):
            lines[number] += "".join(f"{text:>{cell}}" for text in row[part])
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _cells(along: Sequence[Score | None]) -> list[str]:
    known = [score.value for score in along if score is not None]
    fractions = all(0 <= value <= 1 for value in known)
    return [
        "–" if score is None else f"{100 * score.value:.1f}" if fractions else f"{score.value:.4g}"
        for score in along
    ]


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 13]}…{name[-12:]}"
