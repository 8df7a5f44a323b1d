"""Greedy continuations of prompts, every distinct prompt token computed once.

Prompts that share a path worth keeping are a family: the path is computed once and lies in slots
that all its rows see; what a prompt has behind it, and its continuation, lie in pages of its row.
All rows decode together, one token each per step; where a prompt is finished, the next one begins.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pa_harness.prefixes.attention.tiles import layout
from pa_harness.prefixes.attention.tree import TreeAttention
from pa_harness.prefixes.decoding.families import families
from pa_harness.prefixes.decoding.graphs import Graphs
from pa_harness.prefixes.decoding.row_attention import RowAttention
from pa_harness.prefixes.decoding.rows import NOBODY, PAGE, Rows, pages_of
from pa_harness.prefixes.forward import Forward
from pa_harness.prefixes.passes import passes, wanted
from pa_harness.prefixes.transfer import Later, uploaded
from pa_harness.prefixes.trie import TokenTrie, shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pa_harness.prefixes.decoding.families import Family
    from pa_harness.prefixes.decoding.rows import Array
    from pa_harness.prefixes.passes import Pass
    from pa_harness.prefixes.reading import Reader

    Done = Callable[[list[int]], bool]

_BEGIN = 4  # prompts begin when one part in so many of the rows is free


@dataclass(frozen=True)
class Asked:
    """What is to be continued.

    Attributes:
        prompts: token ids, none empty.
        limit: tokens a continuation has at most, 1 or more.
        ends: token ids after which nothing follows.
        done: whether a continuation, which is not empty, is finished.
    """

    prompts: Sequence[Sequence[int]]
    limit: int
    ends: frozenset[int]
    done: Done


@torch.no_grad()
def continuations(reader: Reader, asked: Asked) -> Iterator[tuple[int, list[int]]]:
    """Continue prompts greedily.

    Args:
        reader: of the model.
        asked: what.

    Yields:
        A prompt's index and its continuation, the ending token included, once it is finished.
    """
    if not asked.prompts:
        return
    found, distinct = families(asked.prompts, reader.limits.rows)
    reader.counts.distinct += distinct
    reader.counts.stock += sum(map(len, asked.prompts))
    limits, slot = reader.limits, reader.slot_bytes
    capacity = max(map(len, asked.prompts)) + min(limits.tokens, distinct)
    behind = max(len(asked.prompts[n]) - each.path for each in found for n in each.prompts)
    most = pages_of(behind + asked.limit)
    rows = min(limits.rows, max(len(each.prompts) for each in found))
    pages = max(1, min(rows, (limits.kept // slot - capacity) // (most * PAGE))) * most + 1
    with TreeAttention(reader.model, capacity, pages * PAGE) as attention:
        decoder = _Decoder(reader, asked, attention, Rows(rows, pages, most, reader.device))
        for family in found:
            yield from decoder.decode(family)


class _Decoder:
    """Continues the families of one call."""

    def __init__(self, reader: Reader, asked: Asked, attention: TreeAttention, rows: Rows) -> None:
        self._reader, self._asked, self._attention, self._rows = reader, asked, attention, rows
        self._forward = Forward(reader.model, attention, reader.limits.logit_rows(reader.model))
        self._graphs = Graphs(reader.device)
        self._found: dict[int, list[int]] = {}  # of the prompts that are under way
        self._under_way: deque[tuple[Array, Later]] = deque()  # whose tokens, and the tokens
        self._path = np.empty(0, dtype=np.int32)  # in the first slots

    def decode(self, family: Family) -> Iterator[tuple[int, list[int]]]:
        """Continue the prompts of a family."""
        rows, waiting = self._rows, deque(family.prompts)
        rows.base.fill_(family.path)
        self._graphs.forget()  # the path's length is part of what they hold
        while waiting or rows.alive:
            yield from self._look()
            free = len(rows.owner) - rows.alive
            if waiting and (free * _BEGIN >= len(rows.owner) or not rows.goes_on()):
                self._begin(waiting, family.path)
                yield from self._look()
            self._tidy()
            if rows.goes_on():
                self._step(family.path)

    def _begin(self, waiting: deque[int], path: int) -> None:
        """Compute as many prompts as there is room for, and their first tokens."""
        prompts, limit, rows = self._asked.prompts, self._asked.limit, self._rows
        begun: list[int] = []
        places: list[tuple[int, Array]] = []  # row, and the slots of what stands behind the path
        while waiting:
            own = len(prompts[waiting[0]]) - path
            row = rows.room(own + limit)
            if row is None:
                break
            begun.append(waiting.popleft())
            places.append((row, rows.take(row, begun[-1], own, own + limit)))
            self._found[begun[-1]] = []
        if not begun:
            return
        rows.set_lengths()
        trie = TokenTrie([prompts[prompt] for prompt in begun])
        wants = wanted(trie, [[0]] * len(begun))
        common = np.array(prompts[begun[0]][:path], dtype=np.int32)
        kept = shared(self._path, common)
        self._path = common
        for part in passes(trie, wants, self._reader.limits.tokens, kept, path):
            laid = layout(part, 0, len(part.tokens))
            for some, found in self._reader.read(self._attention, part, laid):
                self._seat(part, some, found[1], begun, places)

    def _seat(
        self,
        part: Pass,
        some: slice,
        likeliest: torch.Tensor,
        begun: list[int],
        places: list[tuple[int, Array]],
    ) -> None:
        """Give the prompts that end in a pass their rows: slots, and first tokens."""
        ending = part.requests[some].tolist()
        if not ending:
            return
        before = [
            part.ancestors(index)[-len(places[each][1]) :]
            for index, each in zip(part.reading[some].tolist(), ending, strict=True)
        ]
        after = [places[each][1] for each in ending]
        rows = np.array([places[each][0] for each in ending])
        old, new, at = uploaded(
            [np.concatenate(before), np.concatenate(after), rows], self._reader.device
        )
        self._attention.hand_over(old, new)
        self._rows.tokens.index_copy_(0, at, likeliest.long())
        self._under_way.append((np.array([begun[each] for each in ending]), Later(likeliest)))
        for row in rows[self._rows.given[rows] >= self._asked.limit].tolist():
            self._rows.stand_still(row)

    def _step(self, path: int) -> None:
        """Compute one more token for every row that goes on."""
        rows, reader = self._rows, self._reader
        shape = rows.before_step(reader.limits)
        count = shape[0]

        def compute() -> None:
            work = RowAttention(rows, shape, path)
            every = torch.arange(count, device=reader.device)
            found = [
                logits.argmax(-1)
                for _, logits in self._forward.logits(
                    rows.tokens[None, :count], work.positions, every, work
                )
            ]
            active = rows.active[:count]
            likeliest = torch.cat(found).to(active.device)
            tokens = rows.tokens[:count]
            tokens.copy_(torch.where(active == 1, likeliest, tokens))
            rows.lengths[:count] += active

        going = rows.going(count)
        needed, attended = rows.attended(*shape[:2], path)
        self._graphs.run((*shape, path), compute)
        self._under_way.append((going, Later(rows.tokens[:count])))
        rows.after_step(self._asked.limit)
        reader.counts.passes += 1
        reader.counts.decoded += int((going != NOBODY).sum())
        reader.counts.needed += needed
        reader.counts.attended += attended
        reader.counts.shapes.add((*shape, path))

    def _look(self) -> Iterator[tuple[int, list[int]]]:
        """Look at the tokens that should be there by now; the prompts that they finish."""
        ahead = self._reader.limits.ahead
        while len(self._under_way) > (ahead if self._rows.goes_on() else 0):
            prompts, later = self._under_way.popleft()
            for prompt, token in zip(prompts.tolist(), later.get().tolist(), strict=True):
                if prompt not in self._found:  # nobody's, or finished by a token before
                    continue
                tokens = self._found[prompt]
                tokens.append(int(token))
                full = len(tokens) >= self._asked.limit
                if full or tokens[-1] in self._asked.ends or self._asked.done(tokens):
                    del self._found[prompt]
                    self._rows.leave(prompt)
                    yield prompt, tokens

    def _tidy(self) -> None:
        """Close the gaps that finished prompts leave."""
        order = self._rows.order(self._reader.limits)
        if order is not None:
            self._rows.reorder(order)
        moves = self._rows.gaps()
        if moves is not None:
            self._attention.move(*uploaded(moves, self._reader.device))
