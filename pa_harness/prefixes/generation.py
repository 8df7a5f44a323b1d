"""Greedy continuations of prompts, every distinct prompt token computed once.

Prompts are taken in the order of their tokens, some at a time: what they have in common is computed
once and stays while it is shared with the next ones; the rest of each hangs on it. Then all rows
decode together, one token each per forward pass, as one packed row; a finished row leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pa_harness.prefixes.attention import TreeAttention, ancestors
from pa_harness.prefixes.passes import Draft
from pa_harness.prefixes.scoring import Request, wanted
from pa_harness.prefixes.trie import ROOT, TokenTrie

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pa_harness.prefixes.passes import Pass
    from pa_harness.prefixes.scoring import PrefixScorer

_ROOM = 32  # slots a row has for its continuation before the slots are tidied up


@dataclass
class _Rows:
    """The rows that decode, R of them.

    Attributes:
        index: per row the prompt it continues.
        tokens: per row its continuation so far.
        position: of the token that each row computes next, int64, [R].
        sees: the slots that each may see, bool, [R, slots in use].
        at: the position of the token in each slot, int64, [slots in use].
    """

    index: list[int]
    tokens: list[list[int]]
    position: torch.Tensor
    sees: torch.Tensor
    at: torch.Tensor

    def leave(self, staying: list[int]) -> None:
        """Keep some rows only."""
        self.index = [self.index[row] for row in staying]
        self.tokens = [self.tokens[row] for row in staying]
        self.position, self.sees = self.position[staying], self.sees[staying]

    def lengthen(self) -> None:
        """Give every row one more slot, in which its own next token goes."""
        own = torch.eye(len(self.index), dtype=torch.bool, device=self.sees.device)
        self.sees = torch.cat([self.sees, own], dim=1)
        self.at = torch.cat([self.at, self.position])

    def visible(self, window: int | None, device: torch.device) -> torch.Tensor:
        """What the next tokens may see, [R, slots]."""
        seen = self.sees
        if window is not None:
            seen = seen & (self.position[:, None] - self.at < window)
        return seen.to(device)


@dataclass
class PrefixGenerator:
    """Continues prompts greedily with one model.

    Attributes:
        scorer: runs the prompts, and counts.
        ends: token ids after which nothing follows.
        rows: prompts that decode together.
    """

    scorer: PrefixScorer
    ends: frozenset[int]
    rows: int

    @torch.no_grad()
    def continuations(
        self, prompts: Sequence[Sequence[int]], limit: int, done: Callable[[list[int]], bool]
    ) -> Iterator[tuple[int, list[int]]]:
        """Continue all prompts.

        Args:
            prompts: token ids, none empty.
            limit: tokens a continuation has at most, 1 or more.
            done: whether a continuation, which is not empty, is finished.

        Yields:
            A prompt's index and its continuation, the ending token included, once it is finished.
        """
        counts = self.scorer.counts
        counts.distinct += TokenTrie(prompts).distinct
        counts.stock += sum(map(len, prompts))
        order = sorted(range(len(prompts)), key=lambda index: list(prompts[index]))
        groups = [order[n : n + self.rows] for n in range(0, len(order), self.rows)]
        common: list[int] = []  # the path in the slots
        with TreeAttention(self.scorer.model, 0) as attention:
            for group in groups:
                part, path = _prefill([list(prompts[index]) for index in group], common)
                common = path
                used = part.kept + len(part.tokens)
                room = used + min(limit, _ROOM) * len(group)
                if room > attention.capacity:
                    kept = torch.arange(part.kept)
                    attention.keep(kept, room)
                first = {want.request: best for want, _, best in self.scorer.read(part, attention)}
                rows = self._start(part, group, first)
                yield from self._decode(rows, attention, limit, done)

    def _start(self, part: Pass, group: list[int], first: dict[int, int]) -> _Rows:
        """The rows after their prompts, each with its first token."""
        device = self.scorer.device
        row_of = {want.request: index for index, want in part.wants}
        last = [row_of[request] for request in range(len(group))]
        border = part.kept + part.path
        positions = torch.from_numpy(part.positions).to(device)
        return _Rows(
            list(group),
            [[first[request]] for request in range(len(group))],
            positions[last] + 1,
            ancestors(part, last, len(part.tokens))(None, device),
            torch.cat([torch.arange(border, device=device), positions[part.path :]]),
        )

    def _decode(
        self,
        rows: _Rows,
        attention: TreeAttention,
        limit: int,
        done: Callable[[list[int]], bool],
    ) -> Iterator[tuple[int, list[int]]]:
        while True:
            staying = []
            for row, tokens in enumerate(rows.tokens):
                if tokens[-1] in self.ends or len(tokens) >= limit or done(tokens):
                    yield rows.index[row], tokens
                else:
                    staying.append(row)
            if not staying:
                return
            rows.leave(staying)
            for tokens, token in zip(rows.tokens, self._step(rows, attention), strict=True):
                tokens.append(token)

    def _step(self, rows: _Rows, attention: TreeAttention) -> list[int]:
        """The next token of every row."""
        device, count = self.scorer.device, len(rows.index)
        if len(rows.at) + count > attention.capacity:
            used = rows.sees.any(0)
            rows.sees, rows.at = rows.sees[:, used], rows.at[used]
            attention.keep(used.nonzero()[:, 0].cpu(), len(rows.at) + _ROOM * count)
        rows.lengthen()
        attention.expect(len(rows.at) - count, len(rows.at), rows.visible)
        logits = self.scorer.model(
            input_ids=torch.tensor([[tokens[-1] for tokens in rows.tokens]], device=device),
            position_ids=rows.position[None],
            logits_to_keep=torch.arange(count),
            use_cache=False,
        ).logits[0]
        rows.position = rows.position + 1
        self.scorer.counts.passes += 1
        self.scorer.counts.decoded += count
        found: list[int] = logits.argmax(-1).tolist()
        return found


def _prefill(prompts: list[list[int]], before: list[int]) -> tuple[Pass, list[int]]:
    """One pass with all that some prompts need behind a path that lies in the slots.

    Returns:
        The pass, and the path that lies in the slots after it.
    """
    trie = TokenTrie(prompts)
    top = trie.children[ROOT][0] if len(trie.children[ROOT]) == 1 else ROOT
    path = trie.run(top, 0, trie.end[top]).tolist() if top != ROOT else []
    shared = min(len(before), len(path))
    different = np.flatnonzero(np.asarray(before[:shared]) != np.asarray(path[:shared]))
    kept = int(different[0]) if len(different) else shared
    if any(len(prompt) == len(path) for prompt in prompts):
        kept = min(kept, len(path) - 1)  # its last token has to say what follows
    requests = [Request(prompt, [0]) for prompt in prompts]
    draft = Draft(trie, wanted(trie, requests))
    draft.kept = kept
    if kept < len(path):
        draft.lengthen(top, kept, len(path))
    for child in trie.children[top]:
        draft.hang(child)
    return draft.take(), path
