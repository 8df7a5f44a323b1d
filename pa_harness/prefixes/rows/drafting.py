"""Cutting a trie into steps in row form."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.prefixes.rows.cut import cut
from pa_harness.prefixes.rows.steps import LEAST, Step
from pa_harness.prefixes.trie import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pa_harness.prefixes.passes import Wants
    from pa_harness.prefixes.rows.steps import Ends, Room
    from pa_harness.prefixes.trie import TokenTrie


_SPARED = 4  # a branch is worth one part in so many of a pass to the level that it makes


@dataclass(frozen=True)
class _Branch:
    """What hangs on a row of a state: a node, its run from where the state ends, all below.

    Attributes:
        row: of the state.
        depth: tokens in that row.
        node: whose run is not at its end yet.
    """

    row: int
    depth: int
    node: int


@dataclass(frozen=True)
class _End:
    """A branch behind which nothing follows, of one owner."""

    branch: _Branch
    owner: int


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
        if step.keeps and step.rest is None:
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
        self._from_state(0, [_Branch(0, 0, child) for child in trie.children[ROOT]])

    def _from_state(self, level: int, branches: list[_Branch]) -> None:
        """Everything below a state."""
        some, last = self._sorted(branches)
        for group in self._groups(some):
            least = self._least(group)
            if least is None:
                last += [end for each in group for end in self._unfolded(each)]
            else:
                last += self._advance(level, group, least)
        self._finish(level, last)

    def _sorted(self, branches: list[_Branch]) -> tuple[list[_Branch], list[_End]]:
        """Which branches are worth a state, and what ends below the others.

        In place of one that has few tokens comes what hangs on it, which spares a level.
        """
        trie, todo = self._trie, branches[::-1]
        some: list[_Branch] = []
        last: list[_End] = []
        while todo:
            each = todo.pop()
            run, below = self._run(each), trie.children[each.node]
            owners = self._ends.owners.get(each.node, ())
            again = run * (len(below) + len(owners) - 1)
            if below and (run < LEAST or again * _SPARED <= self._room.pass_cost):
                last += [_End(each, owner) for owner in owners]
                todo += [_Branch(each.row, each.depth, child) for child in reversed(below)]
            elif run >= LEAST and (self._rows[each.node] > 1 or run >= self._room.tokens):
                some.append(each)
            else:
                last += self._unfolded(each)
        return some, last

    def _advance(self, level: int, group: list[_Branch], least: int) -> list[_End]:
        """Compute what rows have in common with the branches below them, and keep the state.

        Returns:
            What ends where the state does, and so continues the one before.
        """
        trie, reached = self._trie, [each.depth for each in group]
        order: list[int] = []  # which branch each row of the new state is of
        for some, size in self._pieces([self._run(each) for each in group], least):
            rest = [at for at in order if at not in set(some)]
            of = [order.index(at) if order else group[at].row for at in some]
            start = np.array([reached[at] for at in some])
            runs = [trie.run(group[at].node, reached[at], reached[at] + size) for at in some]
            step = Step(
                level + bool(order),
                np.array(of),
                start,
                np.stack(runs).astype(np.int64),
                np.full(len(some), size),
                keeps=True,
                rest=np.array([order.index(at) for at in rest], dtype=np.int64) if order else None,
            )
            self._read(step, [group[at].node for at in some])
            order = some + rest
            for at in some:
                reached[at] += size
        ending, below = [], []
        for row, at in enumerate(order):
            each = group[at]
            if trie.end[each.node] > reached[at]:
                below.append(_Branch(row, reached[at], each.node))
                continue
            children = trie.children[each.node]
            below += [_Branch(row, reached[at], child) for child in children]
            ending += [_End(each, owner) for owner in self._ends.owners.get(each.node, ())]
        self._from_state(level + 1, below)
        return ending

    def _pieces(self, runs: list[int], least: int) -> Iterator[tuple[list[int], int]]:
        """How rows go on together: which, and by how many tokens; all of them at first.

        Args:
            runs: tokens that each has to go, `LEAST` or more.
            least: what is left of a row when it is less than so many tokens stays.
        """
        left, most = list(runs), self._room.tokens
        some, size = list(range(len(left))), min(min(left), max(1, most // len(left)))
        while some:
            yield some, size
            for at in some:
                left[at] -= size
            longest = max(left)
            alike = {each for each in left if each >= least} == {longest}
            size = min(most, longest if alike else 1 << max(longest.bit_length() - 1, 0))
            some = [at for at, each in enumerate(left) if each >= max(size, least)]
            some = some[: max(1, most // size)]

    def _least(self, group: list[_Branch]) -> int | None:
        """What is least worth a step of the rows of a group; None if nothing is."""
        runs, rows = [self._run(each) for each in group], [self._rows[each.node] for each in group]
        longest = max(runs)
        costs: dict[int | None, float] = {}
        if longest < self._room.tokens:
            costs[None] = sum(run * row for run, row in zip(runs, rows, strict=True))
        for least in [LEAST << power for power in range(longest.bit_length())]:
            left, cost = list(runs), self._room.pass_cost  # of the ends of the new state
            for some, size in self._pieces(runs, least):
                cost += self._room.pass_cost + size * len(some)
                for at in some:
                    left[at] -= size
            costs[least] = cost + sum(each * row for each, row in zip(left, rows, strict=True))
        return min(costs, key=lambda least: costs[least])

    def _groups(self, some: list[_Branch]) -> Iterator[list[_Branch]]:
        """Branches that may go on beside each other."""

        def run(each: _Branch) -> tuple[int, int]:
            return (each.depth, self._run(each))

        alike = [some] if self._room.uneven else []
        if not self._room.uneven:
            alike = [list(each) for _, each in groupby(sorted(some, key=run), run)]
        for each in alike:
            each.sort(key=lambda one: (-sum(run(one)), -one.depth, one.row, one.node))
            while each:
                few = min(self._room.most_rows(sum(run(each[0]))), self._room.tokens // LEAST)
                yield each[:few]
                del each[:few]

    def _run(self, branch: _Branch) -> int:
        """Tokens that its rows have in common, and behind which each has one more."""
        leaf = not self._trie.children[branch.node]
        return self._trie.end[branch.node] - branch.depth - leaf

    def _unfolded(self, branch: _Branch) -> list[_End]:
        return [
            _End(_Branch(branch.row, branch.depth, node), owner)
            for node in self._trie.below(branch.node)
            for owner in self._ends.owners.get(node, ())
        ]

    def _finish(self, level: int, last: list[_End]) -> None:
        """The steps behind which nothing follows."""
        trie, even = self._trie, not self._room.uneven

        def order(each: _End) -> tuple[int, ...]:
            branch = each.branch
            left = trie.end[branch.node] - branch.depth
            return (branch.depth if even else 0, left, branch.row, branch.node, each.owner)

        last.sort(key=order)
        for first, end in self._last_groups([each.branch for each in last]):
            rows = [each.branch for each in last[first:end]]
            lengths = np.array([trie.end[each.node] - each.depth for each in rows])
            wide = max(int(lengths.max()), LEAST if self._ends.padded else 1)
            tokens = np.zeros((len(rows), wide), dtype=np.int64)
            for at, each in enumerate(rows):
                tokens[at, : lengths[at]] = trie.run(each.node, each.depth, trie.end[each.node])
            of, start = np.array([[each.row, each.depth] for each in rows]).T
            step = Step(level, of, start, tokens, lengths, keeps=False)
            step.ends = [each.owner for each in last[first:end]]
            self._read(step, [each.node for each in rows])

    def _last_groups(self, last: list[_Branch]) -> list[tuple[int, int]]:
        ends, room = self._ends, self._room
        depths = [each.depth for each in last]
        lengths = [self._trie.end[each.node] - each.depth for each in last]
        deepest = max(depths, default=0)

        def cost(first: int, end: int) -> float:
            longest, shortest = lengths[end - 1], lengths[first]
            tokens = longest * (end - first) if ends.padded else 0
            return ends.each + tokens + ends.spread * (longest - shortest)

        def fits(first: int, end: int) -> bool:
            if not room.uneven and depths[first] != depths[end - 1]:
                return False
            few = end - first <= room.most_rows(deepest + lengths[end - 1])
            return few and (not ends.padded or (end - first) * lengths[end - 1] <= room.tokens)

        return cut(len(last), cost, fits)

    def _read(self, step: Step, nodes: list[int]) -> None:
        """Read in a step whatever is wanted of its tokens and was not read before; add it."""
        trie, start, stop = self._trie, step.start, step.start + step.lengths
        found = []
        for row, lowest in enumerate(nodes):
            node = lowest
            while node != ROOT and trie.end[node] > start[row]:
                left = []
                for want in self._unread.get(node, ()):
                    if start[row] <= want.position < stop[row]:
                        column = want.position - start[row]
                        found.append((row, column, want.target, want.request))
                    else:
                        left.append(want)
                self._unread[node] = left
                node = trie.parent[node]
        table = np.array(found, dtype=np.int64).reshape(-1, 4)
        step.reading, step.targets, step.requests = table[:, :2], table[:, 2], table[:, 3]
        self.steps.append(step)
