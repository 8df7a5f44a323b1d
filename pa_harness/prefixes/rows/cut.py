"""The cheapest way to cut an ordered list into pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def cut(
    count: int, cost: Callable[[int, int], float], fits: Callable[[int, int], bool]
) -> list[tuple[int, int]]:
    """Cut a row of things into pieces [first, end) that cost least together.

    Args:
        count: things.
        cost: of a piece.
        fits: whether a piece may be; one thing always may, and what holds no longer from some
            first on holds for none before it.
    """
    best, origin = [0.0], [0]
    for end in range(1, count + 1):
        least, at = best[end - 1] + cost(end - 1, end), end - 1
        for first in range(end - 2, -1, -1):
            if not fits(first, end):
                break
            total = best[first] + cost(first, end)
            if total < least:
                least, at = total, first
        best.append(least)
        origin.append(at)
    pieces, end = [], count
    while end:
        pieces.append((origin[end], end))
        end = origin[end]
    return pieces[::-1]
