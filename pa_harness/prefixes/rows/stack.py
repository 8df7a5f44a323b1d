"""The states that are kept while branches go through a model, and what a device has room for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pa_harness.prefixes.rows.states import RowForward, fork, joined, nbytes
from pa_harness.prefixes.rows.steps import LEAST, Room
from pa_harness.prefixes.transfer import uploaded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pa_harness.prefixes.reading import Reader
    from pa_harness.prefixes.rows.steps import Array, Step

_COSTLY = 2  # times a pass, since states are copied and layers with a state do many small things
_SHARE = 4  # of the bytes of `Limits.kept` a step takes one part in so many


@dataclass(frozen=True)
class _State:
    """What is kept of some rows.

    Attributes:
        cache: the model's own; filled up on the left to the deepest row.
        depths: tokens of each row, [R].
    """

    cache: Any
    depths: Array


class Stack:
    """The states that are kept: one of each level; level 0 is that of no tokens."""

    def __init__(self, reader: Reader) -> None:
        """Nothing is kept yet.

        Args:
            reader: of the model.
        """
        self._reader = reader
        self._kept: list[_State | None] = [None]
        rows = reader.limits.logit_rows(reader.model)
        self._forward = RowForward(reader.model, positions=reader.positions, logit_rows=rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the states."""
        return sum(nbytes(each.cache) for each in self._kept if each is not None)

    def run(self, step: Step, rows: slice, reading: Array) -> Iterator[tuple[slice, torch.Tensor]]:
        """Compute rows of a step; all of them if it is kept.

        Args:
            step: the step.
            rows: which.
            reading: the row, counted from the first of these, and the column of each token whose
                logits are wanted, [r, 2]; if none is, the first one's are made.

        Yields:
            Which of `reading`, and their logits, [few, vocabulary].
        """
        longest = max(int(step.lengths[rows].max()), LEAST)
        tokens = step.tokens[rows, :longest]
        cache, rest = self.forked(step, rows), self._rest(step)
        yield from self.extend(cache, tokens, step.start[rows], reading)
        state = _State(self.taken(), step.start[rows] + longest)
        if rest is not None:
            depths = np.concatenate([state.depths, rest.depths])
            parts = [(each.cache, int(each.depths.max())) for each in (state, rest)]
            self._kept[step.level] = _State(joined(parts), depths)
        elif step.rest is not None:
            self._kept[step.level] = state
        elif step.keeps:
            self._kept[step.level + 1 :] = [state]
        if step.rest is None and step.last and rows.stop == len(step.of):
            self._kept[step.level] = None

    def forked(self, step: Step, rows: slice) -> Any:
        """The state that rows of a step continue, for each a row; None for no tokens."""
        return self._forked(step.level, step.of[rows], last=step.last and step.keeps)

    def _forked(self, level: int, rows: Array, *, last: bool) -> Any:
        state = self._kept[level]
        if state is None:
            return None
        deepest = int(state.depths[rows].max())
        return fork(state.cache, torch.from_numpy(rows), last=last, deepest=deepest)

    def _rest(self, step: Step) -> _State | None:
        """The rows that stay as they are, of a state that is forgotten."""
        if step.rest is None:
            return None
        state, rest = self._kept[step.level], step.rest
        found = None
        if len(rest) and state is not None:
            found = _State(self._forked(step.level, rest, last=True), state.depths[rest])
        self._kept[step.level] = None
        return found

    def taken(self) -> Any:
        """The cache of the last forward pass; from now on the caller's."""
        cache, self._forward.cache = self._forward.cache, None
        return cache

    def extend(
        self, cache: Any, tokens: Array, start: Array, reading: Array
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Compute tokens [R, L] behind a cache of R rows, which has `start` [R] of each."""
        reader = self._reader
        reading = reading if len(reading) else np.zeros((1, 2), dtype=np.int64)
        ids, at = uploaded([tokens, reading], reader.device)
        yield from self._forward(ids, start, cache, at)
        reader.counts.passes += 1
        reader.counts.shapes.add((*tokens.shape, int(start.max())))


def room_of(reader: Reader) -> Room:
    """What a step may take; two tokens go through the model to know what it keeps of one."""
    limits, stack = reader.limits, Stack(reader)
    held = []
    for count in (1, 2):
        tokens = np.zeros((1, count), dtype=np.int64)
        list(stack.extend(None, tokens, tokens[:, 0], np.zeros((1, 2), dtype=np.int64)))
        held.append(nbytes(stack.taken()))
    slot = held[1] - held[0]
    state = held[0] - slot
    kinds = (slot > 0) + (state > 0)  # a hybrid's step has both, and each a part of its share
    bytes_ = limits.kept // (_SHARE * max(kinds, 1))
    return Room(
        tokens=max(LEAST, limits.tokens),
        rows=max(1, min(limits.tokens, bytes_ // max(state, 1))),
        slots=max(1, bytes_ // max(slot, 1)),
        pass_cost=_COSTLY * limits.pass_cost,
        uneven=reader.uneven,
    )
