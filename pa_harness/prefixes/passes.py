"""Passes over a token trie: which tokens go through the model together.

The model's keys and values lie in slots. The first ones hold the tokens of one path from the root;
a pass lengthens that path, hangs small subtrees on it, or both:

    slots   [ path, kept | path, new | subtree | subtree | ... ]
                           └──────── the tokens of the pass ──┘

A subtree that fits into a pass is computed, read and forgotten; a larger one lies on the path while
its children are done. So every token of the trie is computed once, nothing is padded, and no more
than the longest sequence and one pass are held.
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
        wants: (index of the token, `Want`), in order of the index.
    """

    kept: int
    path: int
    tokens: Tokens
    positions: Ints
    sees: Ints
    stop: Ints
    wants: list[tuple[int, Want]]


class Draft:
    """The pass that is being filled."""

    def __init__(self, trie: TokenTrie, wants: Mapping[int, Sequence[Want]]) -> None:
        self._trie, self._wants = trie, wants
        self._path: list[tuple[int, int, int]] = []  # node, start, end
        self._subtrees: list[int] = []
        self.kept = self.size = self._new = 0

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
        pieces: list[tuple[int, int, int, int | None]] = []  # node, start, end, where it hangs
        stops: list[Ints] = []
        wants: list[tuple[int, Want]] = []
        begin = 0
        for node, start, end in self._path:
            pieces.append((node, start, end, None))
            stops.append(np.arange(begin, begin + end - start))
            wants += self._wanted(node, start, end, begin)
            begin += end - start
        for subtree in self._subtrees:
            for node in trie.below(subtree):
                start, end = trie.start[node], trie.end[node]
                pieces.append((node, start, end, trie.start[subtree]))
                stops.append(np.full(end - start, begin + trie.size[node]))
                wants += self._wanted(node, start, end, begin)
                begin += end - start
        done = Pass(
            self.kept,
            self._new,
            np.concatenate([trie.run(node, start, end) for node, start, end, _ in pieces]),
            np.concatenate([np.arange(start, end) for _, start, end, _ in pieces]),
            np.concatenate(
                [
                    np.arange(start + 1, end + 1) if hung is None else np.full(end - start, hung)
                    for _, start, end, hung in pieces
                ]
            ),
            np.concatenate(stops),
            wants,
        )
        self.kept += self._new
        self._path, self._subtrees, self.size, self._new = [], [], 0, 0
        return done

    def _wanted(self, node: int, start: int, end: int, begin: int) -> list[tuple[int, Want]]:
        return [
            (begin + want.position - start, want)
            for want in self._wants.get(node, ())
            if start <= want.position < end
        ]


def passes(trie: TokenTrie, wants: Mapping[int, Sequence[Want]], budget: int) -> Iterator[Pass]:
    """Cut the trie into passes, from the first path to the last.

    Args:
        trie: the trie.
        wants: per node what is to be read in its run, in order of position.
        budget: tokens per pass, 1 or more; only a pass that ends a path may have fewer than half.
    """
    draft = Draft(trie, wants)
    todo: list[tuple[int, bool]] = [(ROOT, False)]
    while todo:
        node, left = todo.pop()
        if left:  # everything below is drafted: the path goes back to where the node begins
            if draft.size:
                yield draft.take()
            draft.kept = trie.start[node]
            continue
        start, end = trie.start[node], trie.end[node]
        while start < end:
            step = min(end - start, budget - draft.size)
            draft.lengthen(node, start, start + step)
            start += step
            if draft.size == budget:
                yield draft.take()
        large = [child for child in trie.children[node] if trie.size[child] > budget]
        for child in trie.children[node]:
            if trie.size[child] > budget:
                continue
            if draft.size + trie.size[child] > budget:
                yield draft.take()
            draft.hang(child)
        todo.append((node, True))
        todo += [(child, False) for child in reversed(large)]
