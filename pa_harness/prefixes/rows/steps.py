"""The trie in row form: which branches go through a model beside each other, from which states.

A state is what the model's own cache holds after some tokens: keys and values, recurrent and
convolution states. It cannot be cut after the fact, so tokens that branches share are computed
first, the state behind them is kept and forked, and every branch is a row:

    path ──┬── question ──┬── option     step 1: one row; kept
           │              └── option     step 2: questions cut to one length; kept
           └── question ──┬── option     step 3: what is left of them with their options; padded
                          └── option

Rows of a kept state are equally long, since padding would go into the state; what a row has more
than the shortest is computed again for each of its branches, where that costs less than another
pass. Rows behind which nothing follows are filled up on the right, where nobody looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.prefixes.rows.cut import cut
from pa_harness.prefixes.trie import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pa_harness.prefixes.passes import Wants
    from pa_harness.prefixes.trie import TokenTrie

    Array = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Room:
    """What a step may take.

    Attributes:
        tokens: of a step, 1 or more.
        rows: of a step.
        slots: tokens that the rows of a step hold together, those before it included.
        pass_cost: what a further pass costs, in tokens.
    """

    tokens: int
    rows: int
    slots: int
    pass_cost: int

    def most_rows(self, depth: int) -> int:
        """Rows that are so many tokens deep after the step."""
        return max(1, min(self.rows, self.slots // max(depth, 1)))

    def decoding(self, rows: int, limit: int) -> Room:
        """The same where so many rows decode at most, up to so many tokens each."""
        few = min(self.rows, rows, max(1, self.slots // (limit + 1)))
        return replace(self, rows=few)


@dataclass
class Step:
    """R rows of at most L tokens that go through the model from a kept state.

    Attributes:
        level: which state on the stack; 0 is that of no tokens.
        of: per row the row of that state it continues, [R].
        start: tokens before the step's.
        tokens: ids, 0 behind a row's end, int64 [R, L].
        lengths: tokens of each row, [R].
        keeps: whether the state afterwards is kept, on top of its level; then all lengths are L.
        ends: of a step behind which nothing follows the owner of each row (a sequence).
        reading: per want the row and the column of the token that says it, [w, 2].
        targets, requests: per want the token id, and for whom, [w].
        last: whether nobody needs the state of `level` afterwards.
    """

    level: int
    of: Array
    start: int
    tokens: Array
    lengths: Array
    keeps: bool
    ends: list[int] = field(default_factory=list)
    reading: Array = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    targets: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    requests: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    last: bool = False


@dataclass(frozen=True)
class _Branch:
    """What hangs on a row of a state: a node, its run from where the state ends, all below.

    Attributes:
        row: of the state.
        node: whose run is not at its end yet.
    """

    row: int
    node: int


@dataclass(frozen=True)
class Ends:
    """Where rows end, and what rows behind which nothing follows cost.

    Attributes:
        owners: per node the sequences that end there; of every leaf one at least.
        each: cost of a last step of one row and one token, in tokens.
        spread: cost of its longest row being longer than the shortest, per token of difference.
        padded: whether every row is filled up to the longest.
    """

    owners: Mapping[int, Sequence[int]]
    each: float
    spread: float
    padded: bool

    @classmethod
    def of_texts(cls, trie: TokenTrie, room: Room) -> Ends:
        """For sequences that are read and forgotten: only leaves are rows, padded."""
        leaves = {leaf: [n] for n, leaf in enumerate(trie.leaf) if not trie.children[leaf]}
        return cls(leaves, room.pass_cost, 0, padded=True)

    @classmethod
    def of_prompts(cls, trie: TokenTrie, room: Room, limit: int) -> Ends:
        """For prompts that are continued, up to so many tokens: each is a row, none is padded."""
        owners: dict[int, list[int]] = {}
        for number, leaf in enumerate(trie.leaf):
            owners.setdefault(leaf, []).append(number)
        return cls(owners, room.pass_cost * limit, room.pass_cost, padded=False)


def steps(trie: TokenTrie, wants: Wants, room: Room, ends: Ends) -> list[Step]:
    """Cut the trie into steps, each after the one whose state it needs.

    Args:
        trie: the trie.
        wants: per node what is to be read in its run.
        room: what a step may take.
        ends: which sequences are rows.
    """
    found = _Drafting(trie, wants, room, ends).steps
    needed: dict[int, bool] = {}
    for step in reversed(found):
        if step.keeps:
            needed[step.level + 1] = False
        step.last = not needed.get(step.level, False)
        needed[step.level] = True
    return found


class _Drafting:
    """The steps of a trie."""

    def __init__(self, trie: TokenTrie, wants: Wants, room: Room, ends: Ends) -> None:
        self._trie, self._room, self._ends = trie, room, ends
        self._unread = {node: list(each) for node, each in wants.items()}
        self._rows = {node: len(ends.owners.get(node, ())) for node in range(len(trie.parent))}
        for node in reversed(trie.below(ROOT)[1:]):
            self._rows[trie.parent[node]] += self._rows[node]
        self.steps: list[Step] = []
        self._from_state(0, 0, [_Branch(0, child) for child in trie.children[ROOT]])

    def _from_state(self, level: int, depth: int, branches: list[_Branch]) -> None:
        """Everything below a state."""
        trie = self._trie
        last: list[tuple[int, int, int]] = []  # row, node and owner of what ends below
        some = []
        for branch in branches:
            if self._rows[branch.node] > 1 or self._run(depth, branch) >= self._room.tokens:
                some.append(branch)
            else:
                last += self._unfolded(branch)
        some.sort(key=lambda each: (self._run(depth, each), each.row, each.node))
        for first, end in self._groups(depth, some):
            if end - first == 1 and not self._pays(depth, some[first]):
                last += self._unfolded(some[first])
            else:
                last += self._advance(level, depth, some[first:end])
        last.sort(key=lambda each: (trie.end[each[1]], each))
        for first, end in self._last_groups(depth, last):
            rows = last[first:end]
            lengths = np.array([trie.end[node] - depth for _, node, _ in rows])
            of = np.array([row for row, *_ in rows])
            tokens = np.zeros((len(rows), int(lengths.max())), dtype=np.int64)
            for at, (_, node, _) in enumerate(rows):
                tokens[at, : lengths[at]] = trie.run(node, depth, trie.end[node])
            step = Step(level, of, depth, tokens, lengths, keeps=False)
            step.ends = [owner for *_, owner in rows]
            self._read(step, [node for _, node, _ in rows])

    def _advance(self, level: int, depth: int, group: list[_Branch]) -> list[tuple[int, int, int]]:
        """Compute what a group has in common with the branches below it, and keep the state.

        Returns:
            Rows that end where the state would, and so continue the one before.
        """
        trie, room = self._trie, self._room
        shortest = min(self._run(depth, each) for each in group)
        length = max(1, min(shortest, room.tokens // len(group)))
        tokens = np.stack([trie.run(each.node, depth, depth + length) for each in group])
        of = np.array([each.row for each in group])
        lengths = np.full(len(group), length)
        step = Step(level, of, depth, tokens.astype(np.int64), lengths, keeps=True)
        self._read(step, [each.node for each in group])
        ending, below = [], []
        for at, each in enumerate(group):
            if trie.end[each.node] > depth + length:
                below.append(_Branch(at, each.node))
                continue
            below += [_Branch(at, child) for child in trie.children[each.node]]
            ending += [
                (each.row, each.node, owner) for owner in self._ends.owners.get(each.node, ())
            ]
        self._from_state(level + 1, depth + length, below)
        return ending

    def _groups(self, depth: int, ordered: list[_Branch]) -> list[tuple[int, int]]:
        """Branches that are computed beside each other, or, one by one, with their ends."""
        runs = [self._run(depth, each) for each in ordered]
        rows = [self._rows[each.node] for each in ordered]
        again = np.concatenate([[0], np.cumsum(rows)])  # computed per token that is not kept
        whole = np.concatenate([[0], np.cumsum(np.array(runs) * np.array(rows))])

        def cost(first: int, end: int) -> float:
            if end - first == 1 and not self._pays(depth, ordered[first]):
                return runs[first] * rows[first]
            kept = runs[first]
            left = whole[end] - whole[first] - kept * (again[end] - again[first])
            return float(2 * self._room.pass_cost + (end - first) * kept + left)

        def fits(first: int, end: int) -> bool:
            few = end - first <= self._room.most_rows(depth + runs[first])
            return few and (end - first) * runs[first] <= self._room.tokens

        return cut(len(ordered), cost, fits)

    def _run(self, depth: int, branch: _Branch) -> int:
        """Tokens that its rows have in common, and behind which each has one more."""
        leaf = not self._trie.children[branch.node]
        return self._trie.end[branch.node] - depth - leaf

    def _pays(self, depth: int, branch: _Branch) -> bool:
        """Whether keeping its state alone saves more than a pass, or it is too long for one."""
        run = self._run(depth, branch)
        saved = run * (self._rows[branch.node] - 1)
        return saved > 2 * self._room.pass_cost or run >= self._room.tokens

    def _unfolded(self, branch: _Branch) -> list[tuple[int, int, int]]:
        return [
            (branch.row, node, owner)
            for node in self._trie.below(branch.node)
            for owner in self._ends.owners.get(node, ())
        ]

    def _last_groups(self, depth: int, last: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
        ends, room = self._ends, self._room
        lengths = [self._trie.end[node] - depth for _, node, _ in last]

        def cost(first: int, end: int) -> float:
            longest, shortest = lengths[end - 1], lengths[first]
            tokens = longest * (end - first) if ends.padded else 0
            return ends.each + tokens + ends.spread * (longest - shortest)

        def fits(first: int, end: int) -> bool:
            few = end - first <= room.most_rows(depth + lengths[end - 1])
            return few and (not ends.padded or (end - first) * lengths[end - 1] <= room.tokens)

        return cut(len(last), cost, fits)

    def _read(self, step: Step, nodes: list[int]) -> None:
        """Read in a step whatever is wanted of its tokens and was not read before; add it."""
        trie, stop = self._trie, step.start + step.lengths
        found = []
        for row, lowest in enumerate(nodes):
            node = lowest
            while node != ROOT and trie.end[node] > step.start:
                left = []
                for want in self._unread.get(node, ()):
                    if step.start <= want.position < stop[row]:
                        column = want.position - step.start
                        found.append((row, column, want.target, want.request))
                    else:
                        left.append(want)
                self._unread[node] = left
                node = trie.parent[node]
        table = np.array(found, dtype=np.int64).reshape(-1, 4)
        step.reading, step.targets, step.requests = table[:, :2], table[:, 2], table[:, 3]
        self.steps.append(step)
