"""What a pass's attention computes: rectangles over the path, tiles over the subtrees.

A mask of [tokens, slots] would be almost all −∞, for subtrees do not see each other. Instead a
token's attention has two parts, which their log-sum-exps join:

    the path        subtrees that hang at one place see the same slots: a rectangle without a mask;
                    tokens that lengthen the path see what was kept and, causally, each other
    the own subtree tiles of T tokens that follow each other, against the slots of those T and of
                    the ancestors of the first: of all tokens before the tile nobody in it sees
                    others, since the order is depth first

T grows with the depth of the subtree, to about a twenty-fourth of it. Tiles with as many slots are
computed together.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.prefixes.passes import height

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pa_harness.prefixes.passes import Pass

    Array = np.ndarray[Any, np.dtype[np.int64]]

_RECTANGLES = 8  # per pass; places that are more than these share rectangles, with a mask
_CAUSAL = 128  # a causal square is computed to the end of a block of so many slots


@dataclass(frozen=True)
class Rectangle:
    """Tokens of subtrees [low, high), counted from the first such one, that look at the path.

    Attributes:
        low, high: which.
        sees: slots of the path that the last of them sees.
        ragged: whether some see fewer.
    """

    low: int
    high: int
    sees: int
    ragged: bool


@dataclass(frozen=True)
class Tiles:
    """B tiles of T tokens that look at L slots each.

    Attributes:
        queries: indices in the pass, [B, T]; a tile that is not full repeats its last one.
        keys: indices in the pass of what they look at, [B, L]; those past the last token of the
            pass stand for nothing.
    """

    queries: Array
    keys: Array


@dataclass(frozen=True)
class Layout:
    """The attention of some tokens of a pass, [begin, end).

    Attributes:
        begin, end: which.
        path: how many of them, the first ones, lengthen the path.
        kept: slots of the path before the first of them.
        rectangles: over the path, of all that do not.
        groups: of tiles.
        back: where each of these stands among the tiles' queries, one group after the other.
        needed: entries of attention that the tokens see.
        computed: entries that are computed for it.
    """

    begin: int
    end: int
    path: int
    kept: int
    rectangles: list[Rectangle]
    groups: list[Tiles]
    back: Array
    needed: int
    computed: int


def layout(part: Pass, begin: int, end: int) -> Layout:
    """How the attention of the tokens [begin, end) of a pass is computed."""
    path = min(max(part.path - begin, 0), end - begin)
    first = begin + path
    kept = part.kept + min(begin, part.path)
    rectangles = _rectangles(part.sees[first:end])
    groups, back = _tiles(part, first, end) if first < end else ([], np.empty(0, dtype=np.int64))
    return Layout(
        *(begin, end, path, kept, rectangles, groups, back),
        needed=int(part.positions[begin:end].sum()) + end - begin,
        computed=path * kept
        + path * min(path + _CAUSAL, 2 * path) // 2
        + sum((each.high - each.low) * each.sees for each in rectangles)
        + sum(each.keys.size * each.queries.shape[1] for each in groups),
    )


def _rectangles(sees: Array) -> list[Rectangle]:
    """Of tokens in the order of what they see; the most alike neighbours are joined if many."""
    if not len(sees):
        return []
    borders = [0, *(np.flatnonzero(np.diff(sees)) + 1).tolist(), len(sees)]
    while len(borders) > _RECTANGLES + 1:
        cost = [
            (middle - low) * int(sees[high - 1] - sees[low])
            for low, middle, high in zip(borders, borders[1:], borders[2:], strict=False)
        ]
        del borders[cost.index(min(cost)) + 1]
    return [
        Rectangle(low, high, int(sees[high - 1]), bool(sees[low] != sees[high - 1]))
        for low, high in pairwise(borders)
        if sees[high - 1]
    ]


def _tiles(part: Pass, first: int, end: int) -> tuple[list[Tiles], Array]:
    """The tiles of the tokens [first, end), all of subtrees, in groups; where each token went."""
    found: dict[tuple[int, int], list[tuple[int, int, Array]]] = {}
    for low, high, tall in _regions(part, first, end):
        for start in range(low, high, tall):
            chain = part.above(start)
            wide = _width(len(chain) + tall, tall)
            found.setdefault((tall, wide), []).append((start, min(start + tall, high), chain))
    groups, order = [], []
    for (tall, wide), tiles in sorted(found.items()):
        queries = np.empty((len(tiles), tall), dtype=np.int64)
        keys = np.full((len(tiles), wide), len(part.tokens), dtype=np.int64)
        for row, (start, stop, chain) in enumerate(tiles):
            queries[row] = np.minimum(np.arange(start, start + tall), stop - 1)
            keys[row, : len(chain)] = chain
            keys[row, len(chain) : len(chain) + stop - start] = np.arange(start, stop)
        groups.append(Tiles(queries, keys))
        order.append(queries.ravel())
    _, back = np.unique(np.concatenate(order), return_index=True)
    return groups, back


def _width(slots: int, tall: int) -> int:
    """Slots that a tile is filled up to: an eighth more at most where they are many."""
    step = max(tall, 1 << max(0, (slots - 1).bit_length() - 3))
    return -(-slots // step) * step


def _regions(part: Pass, first: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Neighbouring subtrees that have tiles of one height, as [low, high) and the height."""
    borders = [*part.subtrees.tolist(), len(part.tokens)]
    depth = part.positions - part.sees + 1
    low, tall = first, 0
    for start, stop in pairwise(borders):
        new = height(int(depth[start:stop].max()))
        if new != tall:
            if low < min(start, end):
                yield low, min(start, end), tall
            low, tall = max(first, start), new
    if low < end:
        yield low, end, tall
