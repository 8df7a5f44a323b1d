"""Passes over a token trie: which tokens go through the model together.

What a layer keeps of a token lies in slots. The first ones hold the tokens of one path from the
root; a pass lengthens that path, hangs small subtrees on it, or both:

    slots   [ path, kept | path, new | subtree | subtree | ... ]
                           └──────── the tokens of the pass ──┘

A subtree that fits into a pass is computed, read and forgotten; a larger or deeper one lies on the
path while its children are done. So every token of the trie is computed once, and no more than the
longest sequence and one pass are held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.prefixes.trie import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pa_harness.prefixes.trie import Tokens, TokenTrie

    Ints = np.ndarray[tuple[int], np.dtype[np.int64]]
    Wants = Mapping[int, Sequence["Want"]]


_LOWEST, _HIGHEST = 16, 512  # tokens of a tile
_STEPS = 24  # tiles from the root of a subtree to its deepest leaf, about
DEEPEST = 2048  # tokens of a subtree from its root to its deepest leaf; deeper ones are paths


def height(depth: int) -> int:
    """Tokens of a tile of a subtree that is so many tokens deep."""
    tall = _LOWEST
    while tall < _HIGHEST and tall * _STEPS < depth:
        tall *= 2
    return tall


@dataclass(frozen=True)
class Want:
    """A log-probability to read: what the token at a position says about the next one.

    Attributes:
        position: of the reading token in its sequence.
        target: the token id whose probability is wanted.
        request: for whom.
    """

    position: int
    target: int
    request: int


@dataclass
class Pass:
    """Tokens that go through the model together, n of them.

    A token sees the slots before ``sees``, and of the slots of subtrees those before it of
    which it is a descendant: slot ``kept + j`` where ``j <= i < stop[j]`` for token i.

    Attributes:
        kept: slots that hold the path already.
        path: how many of the tokens, the first ones, lengthen the path.
        tokens: token ids, int32, [n].
        positions: their depth in the trie, [n].
        sees: slots of the path that each may see, itself included if it is on the path, [n].
        stop: index after the last descendant of each, [n]; for tokens of the path their own
            index, since `sees` speaks for them.
        subtrees: index of the first token of every subtree, in order.
        reading: per want the index of its token, in order, [w].
        targets: per want the token id whose probability is wanted, [w].
        requests: per want for whom, [w].
    """

    kept: int
    path: int
    tokens: Tokens
    positions: Ints
    sees: Ints
    stop: Ints
    subtrees: Ints
    reading: Ints
    targets: Ints
    requests: Ints

    def above(self, index: int) -> Ints:
        """The tokens of its own subtree that token `index` descends from, in order."""
        if index < self.path:
            return np.empty(0, dtype=np.int64)
        first = self.subtrees[np.searchsorted(self.subtrees, index, side="right") - 1]
        found: Ints = np.flatnonzero(self.stop[first:index] > index) + first
        return found

    def ancestors(self, index: int) -> Ints:
        """The slots that token `index` may see, its own last, in order of their positions."""
        path = np.arange(self.sees[index])
        if index < self.path:  # it is among them
            return path
        return np.concatenate([path, self.above(index) + self.kept, [index + self.kept]])


class Draft:
    """The pass that is being filled."""

    def __init__(self, trie: TokenTrie, wants: Wants, kept: int = 0) -> None:
        self._trie, self._wants = trie, wants
        self._path: list[tuple[int, int, int]] = []  # node, start, end
        self._subtrees: list[int] = []
        self.kept, self.size, self._new = kept, 0, 0

    def lengthen(self, node: int, start: int, end: int) -> None:
        """Put a part of a node's run on the path."""
        self._path.append((node, start, end))
        self._new += end - start
        self.size += end - start

    def hang(self, node: int) -> None:
        """Hang a subtree on the path, where its parent ends."""
        self._subtrees.append(node)
        self.size += self._trie.size[node]

    def take(self) -> Pass:
        """The finished pass; an empty draft follows it."""
        trie = self._trie
        pieces = [(node, start, end, -1) for node, start, end in self._path]  # and where it hangs
        stops = list(range(self._new))
        subtrees, begin = [], self._new
        for subtree in sorted(self._subtrees, key=self._place):
            subtrees.append(begin)
            for node in trie.below(subtree):
                start, end = trie.start[node], trie.end[node]
                pieces.append((node, start, end, trie.start[subtree]))
                stops += [begin + trie.size[node]] * (end - start)
                begin += end - start
        positions = np.concatenate([np.arange(start, end) for _, start, end, _ in pieces])
        hung = np.repeat([at for *_, at in pieces], [end - start for _, start, end, _ in pieces])
        done = Pass(
            self.kept,
            self._new,
            np.concatenate([trie.run(node, start, end) for node, start, end, _ in pieces]),
            positions,
            np.where(hung < 0, positions + 1, hung),
            np.array(stops, dtype=np.int64),
            np.array(subtrees, dtype=np.int64),
            *self._wanted(pieces),
        )
        self.kept += self._new
        self._path, self._subtrees, self.size, self._new = [], [], 0, 0
        return done

    def _place(self, subtree: int) -> tuple[int, int]:
        """Subtrees that hang at one place, and of them those of one depth, stand together."""
        return self._trie.start[subtree], height(self._trie.depth[subtree])

    def _wanted(self, pieces: list[tuple[int, int, int, int]]) -> tuple[Ints, Ints, Ints]:
        found, begin = [], 0
        for node, start, end, _ in pieces:
            found += [
                (begin + want.position - start, want.target, want.request)
                for want in self._wants.get(node, ())
                if start <= want.position < end
            ]
            begin += end - start
        reading, targets, requests = np.array(found, dtype=np.int64).reshape(-1, 3).T
        return reading, targets, requests


def passes(
    trie: TokenTrie, wants: Wants, budget: int, kept: int = 0, path: int = 0
) -> Iterator[Pass]:
    """Cut the trie into passes, from the first path to the last.

    Args:
        trie: the trie.
        wants: per node what is to be read in its run, in order of position.
        budget: tokens per pass, 1 or more; only a pass that ends a path may have fewer than half.
        kept: tokens that all sequences begin with and that lie in the first slots already.
        path: tokens that are to lie there afterwards.
    """
    draft = Draft(trie, wants, kept)
    todo: list[tuple[int, bool]] = [(ROOT, False)]
    while todo:
        node, left = todo.pop()
        if left:  # everything below is drafted: the path goes back to where the node begins
            if draft.size:
                yield draft.take()
            draft.kept = max(kept, trie.start[node])
            continue
        start, end = max(kept, trie.start[node]), trie.end[node]
        while start < end:
            step = min(end - start, budget - draft.size)
            draft.lengthen(node, start, start + step)
            start += step
            if draft.size == budget:
                yield draft.take()
        # A branch that is the only one costs no other if it lies on the path.
        hangs = len(trie.children[node]) > 1 and end >= max(kept, path)
        fits = {
            child: hangs and trie.size[child] <= budget and trie.depth[child] <= DEEPEST
            for child in trie.children[node]
        }
        for child in (child for child, small in fits.items() if small):
            if draft.size + trie.size[child] > budget:
                yield draft.take()
            draft.hang(child)
        todo.append((node, True))
        todo += [(child, False) for child, small in reversed(fits.items()) if not small]


def wanted(trie: TokenTrie, targets: Sequence[Sequence[int]]) -> dict[int, list[Want]]:
    """Per node of the trie what is to be read there.

    Args:
        trie: the trie.
        targets: per sequence the tokens whose probabilities its last ones are to give.
    """
    wants: dict[int, list[Want]] = {}
    for index, wished in enumerate(targets):
        node = trie.leaf[index]
        first = trie.end[node] - len(wished)
        for offset in reversed(range(len(wished))):
            while trie.start[node] > first + offset:
                node = trie.parent[node]
            wants.setdefault(node, []).append(Want(first + offset, wished[offset], index))
    for found in wants.values():
        found.sort(key=lambda want: want.position)
    return wants
