"""The token trie: sequences that begin alike share their beginning.

A node is a run of tokens without a branch. The number of tokens in the trie is the least a decoder
has to compute, for what a token's layers hold depends on the tokens before it and on nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Tokens = np.ndarray[tuple[int], np.dtype[np.int32]]

ROOT = 0


class TokenTrie:
    """The trie of some token sequences; node `ROOT` is empty, children are in token order.

    Attributes:
        sequences: the sequences, int32.
        parent, start, end: per node its parent (the root's is −1) and the depths, in tokens, at
            which its run begins and ends.
        owner: per node a sequence that goes through it: the run is ``sequences[owner][start:end]``.
        children: per node the nodes that follow it.
        leaf: per sequence the node in which it ends.
        size: per node the tokens in its run and in everything below.
        depth: per node the tokens from where it begins to the deepest end below.
    """

    def __init__(self, sequences: Sequence[Sequence[int] | Tokens]) -> None:
        """Build the trie.

        Args:
            sequences: token ids, 0 or more; none may be empty.
        """
        self.sequences = [np.asarray(sequence, dtype=np.int32) for sequence in sequences]
        self.parent, self.start, self.end, self.owner = [-1], [0], [0], [-1]
        self.children: list[list[int]] = [[]]
        self.leaf = [ROOT] * len(self.sequences)
        # Big-endian bytes sort as the numbers do, and comparing them is one call to memcmp.
        keys = [sequence.astype(">u4").tobytes() for sequence in self.sequences]
        last, before = [ROOT], np.empty(0, dtype=np.int32)
        for index in sorted(range(len(keys)), key=keys.__getitem__):
            self._insert(index, shared(before, self.sequences[index]), last)
            before = self.sequences[index]
        self.size, self.depth = self._sizes()

    @property
    def distinct(self) -> int:
        """Tokens in the trie."""
        return self.size[ROOT]

    @property
    def trunk(self) -> Tokens:
        """The tokens that all sequences begin with."""
        if len(self.children[ROOT]) != 1:
            return np.empty(0, dtype=np.int32)
        (only,) = self.children[ROOT]
        return self.run(only, 0, self.end[only])

    @property
    def whole(self) -> int:
        """Tokens of the sequences, equal ones counted once."""
        return sum(self.end[leaf] for leaf in set(self.leaf))

    def run(self, node: int, start: int, end: int) -> Tokens:
        """Tokens of a node's run between two depths."""
        tokens: Tokens = self.sequences[self.owner[node]][start:end]
        return tokens

    def below(self, node: int) -> list[int]:
        """The node and all nodes under it, each before its children, depth first."""
        found, todo = [], [node]
        while todo:
            node = todo.pop()
            found.append(node)
            todo.extend(reversed(self.children[node]))
        return found

    def _insert(self, index: int, shared: int, last: list[int]) -> None:
        """Add a sequence; `last` is the path to the one before, of which it shares some tokens."""
        while last[-1] != ROOT and self.start[last[-1]] >= shared:
            last.pop()
        node = last[-1]
        if self.end[node] > shared:
            last[-1] = self._split(node, shared)
        if len(self.sequences[index]) > shared:
            new = self._add(last[-1], shared, len(self.sequences[index]), index)
            self.children[last[-1]].append(new)
            last.append(new)
        self.leaf[index] = last[-1]

    def _split(self, node: int, depth: int) -> int:
        """Cut a node's run in two; return the upper one, which is new."""
        upper = self._add(self.parent[node], self.start[node], depth, self.owner[node])
        self.children[self.parent[node]][-1] = upper  # it is the latest child of its parent
        self.children[upper].append(node)
        self.parent[node], self.start[node] = upper, depth
        return upper

    def _add(self, parent: int, start: int, end: int, owner: int) -> int:
        for values, value in (
            (self.parent, parent),
            (self.start, start),
            (self.end, end),
            (self.owner, owner),
        ):
            values.append(value)
        self.children.append([])
        return len(self.parent) - 1

    def _sizes(self) -> tuple[list[int], list[int]]:
        size = [end - start for start, end in zip(self.start, self.end, strict=True)]
        depth = size.copy()
        for node in reversed(self.below(ROOT)[1:]):
            parent = self.parent[node]
            size[parent] += size[node]
            own = self.end[parent] - self.start[parent]
            depth[parent] = max(depth[parent], own + depth[node])
        return size, depth


def shared(left: Tokens, right: Tokens) -> int:
    """How many tokens two sequences begin with in common."""
    length = min(len(left), len(right))
    different = np.flatnonzero(left[:length] != right[:length])
    return int(different[0]) if len(different) else length
