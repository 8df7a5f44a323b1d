"""Runs passes, and reads what was wanted of them: log-probabilities, and the likeliest tokens."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from pa_harness.prefixes.attention.pass_attention import PassAttention
from pa_harness.prefixes.attention.tiles import layout
from pa_harness.prefixes.attention.tree import TreeAttention
from pa_harness.prefixes.counts import Counts
from pa_harness.prefixes.forward import Forward
from pa_harness.prefixes.limits import Limits, is_out_of_memory
from pa_harness.prefixes.passes import passes
from pa_harness.prefixes.trie import TokenTrie

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

    from pa_harness.prefixes.attention.tiles import Layout
    from pa_harness.prefixes.passes import Pass

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply


@dataclass
class Reader:
    """Runs passes through one model.

    Attributes:
        model: a transformers decoder.
        device: where the model expects its tokens.
        limits: what goes through the model at a time.
        dtype: of the softmax.
        counts: what was computed so far.
        positions: whether the model is told the positions of its tokens; else it counts itself.
        uneven: in row form whether rows that are not equally deep may go on beside each other.
    """

    model: PreTrainedModel
    device: torch.device
    limits: Limits
    dtype: torch.dtype = torch.float32
    counts: Counts = field(default_factory=Counts)
    positions: bool = True
    uneven: bool = False

    @classmethod
    def of(cls, model: PreTrainedModel, device: torch.device, beside: int = 0) -> Reader:
        """With the limits that suit the device, on which so many bytes lie beside the model."""
        return cls(model, device, Limits.of(model, device, beside))

    @cached_property
    def slot_bytes(self) -> int:
        """What the layers keep of a token, in bytes; one token goes through the model to know."""
        trie = TokenTrie([[0]])
        (part,) = passes(trie, {}, 1)
        with TreeAttention(self.model, 1) as attention:
            work = PassAttention(part, layout(part, 0, 1), 1, self.device)
            forward = Forward(self.model, attention, 1)
            list(forward.logits(work.tokens, work.positions, work.reading, work))
            return attention.slot_bytes

    def read(
        self, attention: TreeAttention, part: Pass, laid: Layout
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Run a pass; one that memory does not suffice for in halves, the next one whole again.

        Args:
            attention: that the model is in.
            part: the pass.
            laid: the layout of its tokens.

        Yields:
            Which wants of the pass, and of each the log-probability and the likeliest token where
            it was read, float64 on the device, [2, wants].
        """
        try:
            found = self._run(attention, part, laid)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or laid.end - laid.begin == 1:
                raise
            found = None
        if found is not None:
            yield found
            return
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        middle = (laid.begin + laid.end) // 2
        _log.warning("Out of memory: a pass of %d tokens in halves.", laid.end - laid.begin)
        for begin, end in ((laid.begin, middle), (middle, laid.end)):
            yield from self.read(attention, part, layout(part, begin, end))

    def _run(
        self, attention: TreeAttention, part: Pass, laid: Layout
    ) -> tuple[slice, torch.Tensor]:
        tokens = laid.end - laid.begin
        work = PassAttention(part, laid, self.limits.shape(tokens), self.device)
        wants = slice(*np.searchsorted(part.reading, [laid.begin, laid.end]).tolist())
        found = torch.empty(2, len(work.read), dtype=torch.float64, device=self.device)
        forward = Forward(self.model, attention, self.limits.logit_rows(self.model))
        for some, logits in forward.logits(work.tokens, work.positions, work.reading, work):
            first, last = np.searchsorted(work.read, [some.start, some.stop]).tolist()
            rows, targets = work.rows[first:last] - some.start, work.targets[first:last]
            found[:, first:last] = said(logits, targets, self.dtype, rows)
        self.counts.passes += 1
        self.counts.computed += tokens
        self.counts.needed += laid.needed
        self.counts.attended += laid.computed
        self.counts.shapes.add((work.tokens.shape[1], laid.kept, laid.path))
        return wants, found


def said(
    logits: torch.Tensor,
    targets: torch.Tensor,
    dtype: torch.dtype,
    rows: torch.Tensor | None = None,
) -> torch.Tensor:
    """What logits say of some targets.

    Args:
        logits: [r, vocabulary].
        targets: token ids, [w].
        dtype: of the softmax.
        rows: per target which logits speak of it, [w]; in order, one each, if it is not given.

    Returns:
        The log-probability of each target, and the likeliest token in its place, float64, [2, w].
    """
    chances = logits.log_softmax(-1, dtype=dtype)
    wider = chances.dtype.itemsize > logits.dtype.itemsize  # then it tells all apart
    likeliest = (chances if wider else logits).argmax(-1)
    at = logits.device  # of the head, which may not be that of the tokens
    each = torch.arange(len(targets), device=at) if rows is None else rows.to(at)
    return torch.stack([chances[each, targets.to(at)].double(), likeliest[each].double()])
