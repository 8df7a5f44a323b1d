"""The trie in row form: which branches go through a model beside each other, from which states.

A state is what the model's own cache holds after some tokens: keys and values, recurrent and
convolution states. It cannot be cut after the fact, so tokens that branches share are computed
first, the state behind them is kept and forked, and every branch is a row:

    path ──┬── question ──┬── option     step 1: one row; kept
           │              └── option     steps 2 to 7: questions go on together, by what all have,
           └── question ──┬── option         then by powers of two, each as often as it is in it
                          └── option     step 8: their options; padded

Rows of a kept state are computed without padding, which would go into the state; where a cache can
be filled up on the left, as for batches of prompts, they need not be equally deep. What is left of
a row when another pass costs more is computed again for each of its branches. Rows behind which
nothing follows are filled up on the right, where nobody looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

LEAST = (
    2  # tokens of a row: of one alone some layers compute another function (Nemotron H: no floor
)
# of its time step), the one that continues what was generated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pa_harness.prefixes.trie import TokenTrie

    Array = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Room:
    """What a step may take.

    Attributes:
        tokens: of a step, `LEAST` or more.
        rows: of a step.
        slots: tokens that the rows of a step hold together, those before it included.
        pass_cost: what a further pass costs, in tokens.
        uneven: whether rows that are not equally deep may go on beside each other.
    """

    tokens: int
    rows: int
    slots: int
    pass_cost: int
    uneven: bool = False

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
        start: tokens before each row's, [R].
        tokens: ids, 0 behind a row's end, int64 [R, L].
        lengths: tokens of each row, [R].
        keeps: whether the state afterwards is kept; then all lengths are L.
        rest: of a state that is kept in place of the one before: the rows of that one which stay
            as they are, and follow; None where it is kept on top.
        ends: of a step behind which nothing follows the owner of each row (a sequence).
        reading: per want the row and the column of the token that says it, [w, 2].
        targets, requests: per want the token id, and for whom, [w].
        last: whether nobody needs the state of `level` afterwards.
    """

    level: int
    of: Array
    start: Array
    tokens: Array
    lengths: Array
    keeps: bool
    rest: Array | None = None
    ends: list[int] = field(default_factory=list)
    reading: Array = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    targets: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    requests: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    last: bool = False


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
