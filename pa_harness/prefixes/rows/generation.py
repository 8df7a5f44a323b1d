"""Greedy continuations in row form: prompts decode beside each other from forked states.

The rows of a batch go on by equally many tokens at a time. Where what is left of their prompts is
not equally long, the shortest ends first: its row is given what it said, the others the next token
of their prompts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pa_harness.prefixes.rows.drafting import steps
from pa_harness.prefixes.rows.stack import Stack, room_of
from pa_harness.prefixes.rows.states import fork
from pa_harness.prefixes.rows.steps import Ends
from pa_harness.prefixes.trie import TokenTrie

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pa_harness.prefixes.decoding.generation import Asked
    from pa_harness.prefixes.reading import Reader
    from pa_harness.prefixes.rows.steps import Array, Step

_LEAVE = 4  # rows that are finished leave when they are one part in so many


@torch.no_grad()
def continuations(reader: Reader, asked: Asked) -> Iterator[tuple[int, list[int]]]:
    """Continue prompts greedily; as `decoding.generation.continuations` does.

    Args:
        reader: of the model.
        asked: what.

    Yields:
        A prompt's index and its continuation, the ending token included, once it is finished.
    """
    if not asked.prompts:
        return
    trie = TokenTrie(asked.prompts)
    reader.counts.distinct += trie.distinct
    reader.counts.stock += sum(map(len, asked.prompts))
    room = room_of(reader).decoding(reader.limits.rows, asked.limit)
    stack = Stack(reader)
    for step in steps(trie, {}, room, Ends.of_prompts(trie, room, asked.limit)):
        if step.keeps:
            reader.counts.computed += step.tokens.size
            list(stack.run(step, slice(0, len(step.of)), step.reading))
        else:
            yield from _Batch(reader, asked, stack, step).decode()


class _Batch:
    """The rows of a last step.

    Attributes:
        said: per row its continuation so far.
    """

    def __init__(self, reader: Reader, asked: Asked, stack: Stack, step: Step) -> None:
        self._reader, self._asked, self._stack = reader, asked, stack
        self._tokens, self._lengths, self._start = step.tokens, step.lengths, step.start
        self._owners = np.array(step.ends)
        self.said: list[list[int]] = [[] for _ in step.ends]
        self._cache: Any = stack.forked(step, slice(0, len(step.of)))

    def decode(self) -> Iterator[tuple[int, list[int]]]:
        """Continue all rows, which leave as they are finished."""
        at = self._prompts()
        while True:
            yield from self._finished()
            living = np.flatnonzero(self._owners >= 0)
            if not len(living):
                return
            if (len(self._owners) - len(living)) * _LEAVE >= len(self._owners):
                self._leave(living, at)
            at = self._extend(self._next(at), at)

    def _prompts(self) -> int:
        """Compute what all prompts have; how many tokens that are behind the forked state."""
        at, shortest = 0, int(self._lengths.min())
        piece = max(1, self._reader.limits.tokens // len(self._lengths))
        while at < shortest:
            at = self._extend(self._tokens[:, at : min(at + piece, shortest)], at)
        return at

    def _extend(self, tokens: Array, at: int) -> int:
        """Compute tokens of all rows, and take what those say whose prompts are at their end."""
        rows, count = tokens.shape
        reading = np.stack([np.arange(rows), np.full(rows, count - 1)], 1)
        found = self._stack.extend(self._cache, tokens, self._start + at, reading)
        likeliest = torch.cat([logits.argmax(-1) for _, logits in found]).tolist()
        self._cache = self._stack.taken()
        counts, after = self._reader.counts, int(at + count)
        given = np.minimum(np.maximum(self._lengths - at, 0), count)  # tokens of prompts
        counts.computed += int(given.sum())
        counts.decoded += rows * count - int(given.sum())
        for row, token in enumerate(likeliest):
            if self._owners[row] >= 0 and self._lengths[row] <= after:
                self.said[row].append(int(token))
        return after

    def _next(self, at: int) -> Array:
        """The next token of every row, [R, 1]: of its prompt, or what it said."""
        return np.array(
            [
                [said[-1] if at >= length else tokens[at]]
                for said, length, tokens in zip(self.said, self._lengths, self._tokens, strict=True)
            ]
        )

    def _finished(self) -> Iterator[tuple[int, list[int]]]:
        asked = self._asked
        for row in np.flatnonzero(self._owners >= 0).tolist():
            said = self.said[row]
            if not said:
                continue
            full = len(said) >= asked.limit
            if full or said[-1] in asked.ends or asked.done(said):
                yield int(self._owners[row]), said
                self._owners[row] = -1

    def _leave(self, living: Array, at: int) -> None:
        deepest = int(self._start[living].max()) + at
        self._cache = fork(self._cache, torch.from_numpy(living), last=True, deepest=deepest)
        self._tokens, self._lengths = self._tokens[living], self._lengths[living]
        self._start = self._start[living]
        self._owners = self._owners[living]
        self.said = [self.said[row] for row in living.tolist()]
