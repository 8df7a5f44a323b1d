"""Rows that decode: what each keeps beside the shared path, in pages.

A page is `PAGE` slots of one row. A row gets a page when it needs one, from the lowest free; so a
step computes what its rows attend to, and about half a page more for each. The last row of a
`few_shapes` step may stand for nothing: it writes to page 0, which belongs to nobody.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pa_harness.prefixes.transfer import uploaded

if TYPE_CHECKING:
    from pa_harness.prefixes.limits import Limits

    Array = np.ndarray[Any, np.dtype[np.int64]]

PAGE = 64
NOBODY = -1


class Rows:
    """The state of R rows, on the host and, in memory that stays where it is, on the device.

    Attributes:
        owner: per row the prompt it continues, or `NOBODY`, [R].
        given: per row the tokens of its continuation that were asked of the device, [R].
        tokens, lengths, active: on the device: the token that a row computes next, the slots it
            has filled, and whether it goes on (1) or stands still (0), int64 [R].
        table: on the device: the pages of each row, in order; 0 behind them, [R, most pages].
        page_row, page_start: on the device: per page whose it is, and the place of its first slot
            in the row, [pages].
        base: on the device: tokens of the shared path, a number.
    """

    def __init__(self, rows: int, pages: int, most: int, device: torch.device) -> None:
        """Rows of nobody.

        Args:
            rows: R.
            pages: of all rows together, page 0 included.
            most: pages of one row.
            device: where the state lies.
        """
        self._sizes = [rows, rows * most, pages, pages]
        self._most, self._pages = most, pages
        self.owner = np.full(rows, NOBODY)
        self.given = np.zeros(rows, dtype=np.int64)
        self._lengths, self._active = (np.zeros(rows, dtype=np.int64) for _ in range(2))
        self._own: list[list[int]] = [[] for _ in range(rows)]
        self._reserved = np.zeros(rows, dtype=np.int64)
        self._free = list(range(1, pages))
        self.tokens, self.lengths = (
            torch.zeros(rows, dtype=torch.long, device=device) for _ in range(2)
        )
        state = torch.zeros(sum(self._sizes), dtype=torch.long, device=device)
        self._state = state
        self.active, table, self.page_row, self.page_start = torch.split(state, self._sizes)
        self.table = table.view(rows, most)
        self.base = torch.zeros((), dtype=torch.long, device=device)
        self._changed = False

    @property
    def alive(self) -> int:
        """Rows that continue a prompt."""
        return int((self.owner != NOBODY).sum())

    def room(self, slots: int) -> int | None:
        """A free row for a prompt that will fill so many slots at most; None if there is none."""
        free = np.flatnonzero(self.owner == NOBODY)
        wanted = pages_of(slots)
        if not len(free) or self._reserved.sum() + wanted > self._pages - 1:
            return None
        return int(free[0])

    def take(self, row: int, prompt: int, own: int, slots: int) -> Array:
        """Give a row to a prompt.

        Args:
            row: a free one.
            prompt: its number.
            own: tokens it has behind the shared path.
            slots: that it will fill at most.

        Returns:
            The slots of its own tokens, [own].
        """
        self.owner[row], self.given[row] = prompt, 1  # its first token comes with the prompt
        self._lengths[row], self._active[row] = own, 1
        self._reserved[row] = pages_of(slots)
        self._own[row] = [heapq.heappop(self._free) for _ in range(pages_of(own))]
        self._changed = True
        place = np.arange(own)
        return np.array(self._own[row])[place // PAGE] * PAGE + place % PAGE

    def set_lengths(self) -> None:
        """Say the lengths of all rows to the device, after some were taken."""
        (lengths,) = uploaded([self._lengths], self.lengths.device)
        self.lengths.copy_(lengths)

    def leave(self, prompt: int) -> None:
        """The prompt is finished: its row and its pages are free."""
        row = int(np.flatnonzero(self.owner == prompt)[0])
        for page in self._own[row]:
            heapq.heappush(self._free, page)
        self.owner[row], self._own[row] = NOBODY, []
        self._reserved[row] = self._lengths[row] = self._active[row] = 0
        self._changed = True

    def stand_still(self, row: int) -> None:
        """The row has as many tokens as it may have; they are still to be looked at."""
        self._active[row], self._changed = 0, True

    def goes_on(self) -> bool:
        """Whether a step would give anybody a token."""
        return bool(self._active.any())

    def before_step(self, limits: Limits) -> tuple[int, int, int]:
        """Make every row ready for one more token.

        Returns:
            The shape of the step: rows, pages, and pages of the row that has most.
        """
        for row in np.flatnonzero((self._lengths % PAGE == 0) & (self._active == 1)).tolist():
            if len(self._own[row]) * PAGE == self._lengths[row]:
                self._own[row].append(heapq.heappop(self._free))
                self._changed = True
        if self._changed:
            self._tell()
        rows = self._count(int(np.flatnonzero(self.owner != NOBODY)[-1]) + 1, limits)
        pages = max((max(own) for own in self._own if own), default=0) + 1
        most = max(1, *(len(own) for own in self._own))
        if limits.few_shapes:
            pages = 1 + _few(pages - 1, len(self.owner), self._pages - 1)
            most = _few(most, 1, self._most)
        return rows, pages, most

    def going(self, rows: int) -> Array:
        """Of the first rows the prompts that go on; `NOBODY` for the others."""
        return np.where(self._active[:rows] == 1, self.owner[:rows], NOBODY)

    def after_step(self, limit: int) -> None:
        """Every row that goes on was given one token more; `limit` is as many as it may have."""
        self._lengths += self._active
        self.given += self._active
        for row in np.flatnonzero((self.given >= limit) & (self._active == 1)).tolist():
            self.stand_still(row)

    def attended(self, rows: int, pages: int, base: int) -> tuple[int, int]:
        """Entries of attention that the next step needs, and computes."""
        going = self._active == 1
        needed = int((self._lengths[going] + base + 1).sum())
        return needed, rows * base + pages * PAGE

    def order(self, limits: Limits) -> Array | None:
        """Rows in which the living ones come first; None if a step would not get smaller by it."""
        living = np.flatnonzero(self.owner != NOBODY)
        if not len(living):
            return None
        last = int(living[-1]) + 1
        if self._count(last, limits) == self._count(len(living), limits):
            return None
        return np.concatenate([living, np.flatnonzero(self.owner == NOBODY)])

    def reorder(self, order: Array) -> None:
        """Give the rows other places; their pages stay where they are."""
        self.owner, self.given = self.owner[order], self.given[order]
        self._lengths, self._active = self._lengths[order], self._active[order]
        self._reserved = self._reserved[order]
        self._own = [self._own[row] for row in order.tolist()]
        (at,) = uploaded([order], self.tokens.device)
        for state in (self.tokens, self.lengths):
            state.copy_(state[at])
        self._changed = True

    def gaps(self) -> tuple[Array, Array] | None:
        """Moves of slots that close the gaps between pages, if those are a quarter of them.

        Returns:
            Slots before and after, [moved] each.
        """
        used = sorted(page for own in self._own for page in own)
        if not used or used[-1] <= 4 + len(used) * 4 // 3:
            return None
        places = {old: new for new, old in enumerate(used, start=1)}
        self._own = [[places[page] for page in own] for own in self._own]
        self._free = list(range(len(used) + 1, self._pages))
        self._changed = True
        moved = np.array([(old, new) for old, new in places.items() if old != new])
        slots = moved[:, :, None] * PAGE + np.arange(PAGE)
        return slots[:, 0].ravel(), slots[:, 1].ravel()

    def _count(self, rows: int, limits: Limits) -> int:
        """Rows of a step in which the last living one is so many-th."""
        return min(len(self.owner), 1 << (rows - 1).bit_length()) if limits.few_shapes else rows

    def _tell(self) -> None:
        """Bring what changed to the device."""
        table = np.zeros((len(self.owner), self._most), dtype=np.int64)
        page_row, page_start = np.zeros((2, self._pages), dtype=np.int64)
        page_start[:] = 1 << 40  # a page of nobody begins behind every row's end
        for row, own in enumerate(self._own):
            table[row, : len(own)] = own
            page_row[own], page_start[own] = row, np.arange(len(own)) * PAGE
        arrays = [self._active, table.ravel(), page_row, page_start]
        self._state.copy_(torch.cat(uploaded(arrays, self._state.device)))
        self._changed = False


def pages_of(slots: int) -> int:
    """Pages that hold so many slots."""
    return -(-slots // PAGE)


def _few(count: int, unit: int, most: int) -> int:
    """`count` filled up to one of few numbers: multiples of the unit, an eighth apart at least."""
    step = unit * max(1, 1 << max(0, (-(-count // unit) - 1).bit_length() - 3))
    return min(most, -(-count // step) * step)
