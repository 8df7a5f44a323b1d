"""Log-likelihoods of continuations, every distinct token computed once.

log p(continuation | context) = Σ_t log softmax(z_t)[continuation_t], z_t the logits after the
context and the t continuation tokens before. Contexts that begin alike (few-shot prompts), the
options of one question, equal questions: each shared beginning goes through the model once.
Logits are made only where a probability is wanted; softmax and sum are in fp32 or wider.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from pa_harness.prefixes.attention import NotATreeError, TreeAttention, ancestors, implementation
from pa_harness.prefixes.passes import Want, passes
from pa_harness.prefixes.trie import TokenTrie

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transformers import PreTrainedModel

    from pa_harness.prefixes.passes import Pass
    from pa_harness.prefixes.trie import Tokens

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply
_CPU_TOKENS = 512  # per pass: enough to read weights seldom, few enough that attention stays small
_DEVICE_TOKENS = 8192  # at most; matrix products of an accelerator are filled by fewer
_VECTORS = 64  # of the hidden size, that are alive per token of a pass (a generous estimate)
_SHARE = 8  # of the free memory a pass may take one part in so many
_LOGITS = 1 << 28  # bytes of logits made at a time, where a row is smaller than that
_SOFTMAX = 1 << 26  # bytes of log-softmax made at a time


@dataclass
class Counts:
    """Tokens that went through the model, and that would have.

    Attributes:
        computed: tokens of prompts that were computed.
        distinct: tokens of the tries: the least possible.
        stock: tokens that HFLM would have computed, its padding left out.
        decoded: tokens of continuations that were computed; HFLM computes as many.
        passes: forward passes.
    """

    computed: int = 0
    distinct: int = 0
    stock: int = 0
    decoded: int = 0
    passes: int = 0


@dataclass
class Request:
    """A continuation to score.

    Attributes:
        tokens: context and continuation without its last token, cut on the left to the model's
            length: what HFLM feeds.
        targets: the continuation.
    """

    tokens: Sequence[int] | Tokens
    targets: Sequence[int]

    @classmethod
    def cut(cls, context: Sequence[int], continuation: Sequence[int], length: int) -> Request:
        """The request for a context and a continuation, cut to a model's length in tokens."""
        whole = [*context, *continuation][-(length + 1) :]
        return cls(np.array(whole[:-1], dtype=np.int32), continuation)


@dataclass
class _Answer:
    """A request's sum so far."""

    left: int
    total: float = 0.0
    greedy: bool = True


@dataclass
class PrefixScorer:
    """Scores continuations with one model.

    Attributes:
        model: a transformers decoder.
        device: where the model expects its tokens.
        dtype: of the softmax.
        counts: what was computed so far.
        budget: tokens per pass; halved where memory does not suffice, and it stays so.
    """

    model: PreTrainedModel
    device: torch.device
    dtype: torch.dtype = torch.float32
    counts: Counts = field(default_factory=Counts)
    budget: int = 0

    def __post_init__(self) -> None:
        """Choose the tokens per pass by the device."""
        self.budget = self.budget or _affordable(self.model, self.device)
        self._rows = max(1, _LOGITS // (4 * self.model.config.get_text_config().vocab_size))

    @torch.no_grad()
    def score(self, requests: Sequence[Request]) -> Iterator[tuple[int, tuple[float, bool]]]:
        """Score all requests.

        Args:
            requests: their tokens and targets must not be empty.

        Yields:
            A request's index and its answer, as soon as it is known: the log-likelihood in nats,
            and whether every target is the likeliest token (of equals the first).

        Raises:
            NotATreeError: the model attends in a way that only its forward pass shows.
        """
        trie = TokenTrie([request.tokens for request in requests])
        planned = list(passes(trie, wanted(trie, requests), self.budget))
        self.counts.distinct += trie.distinct
        self.counts.stock += trie.whole
        answers = [_Answer(len(request.targets)) for request in requests]
        capacity = max((part.kept + len(part.tokens) for part in planned), default=0)
        with TreeAttention(self.model, capacity) as attention:
            for part in planned:
                for want, value, likeliest in self.read(part, attention):
                    answer = answers[want.request]
                    answer.total += value
                    answer.greedy &= likeliest == want.target
                    answer.left -= 1
                    if not answer.left:
                        yield want.request, (answer.total, answer.greedy)

    def read(self, part: Pass, attention: TreeAttention) -> Iterator[tuple[Want, float, int]]:
        """Run a pass; what was wanted of it, its log-probability, the likeliest token there."""
        begin = 0
        while begin < len(part.tokens):
            end = self._end(part, begin)
            try:
                found = self._forward(part, attention, begin, end)
            except RuntimeError as error:
                if not _is_out_of_memory(error) or end - begin == 1:
                    raise
                self.budget = (end - begin) // 2
                _log.warning("Out of memory; %d tokens per pass from now on.", self.budget)
                continue
            self.counts.passes += 1
            self.counts.computed += end - begin
            begin = end
            yield from found

    def _end(self, part: Pass, begin: int) -> int:
        """Where to cut a pass so that neither its tokens nor its logits are too many."""
        end = min(begin + self.budget, len(part.tokens))
        rows = sorted({index for index, _ in part.wants if begin <= index < end})
        return rows[self._rows] if len(rows) > self._rows else end

    def _forward(
        self, part: Pass, attention: TreeAttention, begin: int, end: int
    ) -> list[tuple[Want, float, int]]:
        wants = [(index - begin, want) for index, want in part.wants if begin <= index < end]
        rows = sorted({index for index, _ in wants}) or [0]
        visible = ancestors(part, slice(begin, end), end)
        attention.expect(part.kept + begin, part.kept + end, visible)
        logits = self.model(
            input_ids=torch.from_numpy(part.tokens[begin:end])[None].to(self.device, torch.long),
            position_ids=torch.from_numpy(part.positions[begin:end])[None].to(self.device),
            logits_to_keep=torch.tensor(rows),
            use_cache=False,
        ).logits[0]
        if len(logits) != len(rows) or not attention.calls:
            raise NotATreeError(f"{type(self.model).__name__} went around the exchanged attention")
        return self._log_probabilities(logits, rows, wants)

    def _log_probabilities(
        self, logits: torch.Tensor, rows: list[int], wants: list[tuple[int, Want]]
    ) -> list[tuple[Want, float, int]]:
        """Of logits [rows, vocabulary], a few rows at a time."""
        row_of = {index: row for row, index in enumerate(rows)}
        step = max(1, _SOFTMAX // (self.dtype.itemsize * logits.shape[1]))
        found: list[tuple[Want, float, int]] = []
        for first in range(0, len(rows), step):
            block = logits[first : first + step]
            inside = [
                (row_of[index] - first, want)
                for index, want in wants
                if first <= row_of[index] < first + step
            ]
            row = torch.tensor([row for row, _ in inside], dtype=torch.long, device=block.device)
            target = torch.tensor([want.target for _, want in inside], device=block.device)
            values = block.log_softmax(-1, dtype=self.dtype)[row, target.long()].tolist()
            likeliest = block.argmax(-1)[row].tolist()
            found += zip([want for _, want in inside], values, likeliest, strict=True)
        return found


def _affordable(model: PreTrainedModel, device: torch.device) -> int:
    """Tokens per pass, by the memory that is free; too many are halved when they turn out so.

    On an accelerator a token takes some vectors of the hidden size and, where attention is not
    fused, a row of scores per head, here for as many slots as there are tokens at most.
    """
    if device.type != "cuda":
        return _CPU_TOKENS
    config = model.config.get_text_config(decoder=True)
    scores = config.num_attention_heads * 4 * _DEVICE_TOKENS
    fused = implementation(model) != "eager"
    each: int = _VECTORS * config.hidden_size * model.dtype.itemsize + (0 if fused else scores)
    free: int = torch.cuda.mem_get_info(device)[0]
    return max(1, min(_DEVICE_TOKENS, free // _SHARE // each))


def wanted(trie: TokenTrie, requests: Sequence[Request]) -> dict[int, list[Want]]:
    """Per node of the trie what is to be read there."""
    wants: dict[int, list[Want]] = {}
    for index, request in enumerate(requests):
        first = len(request.tokens) - len(request.targets)
        node = trie.leaf[index]
        for offset in reversed(range(len(request.targets))):
            while trie.start[node] > first + offset:
                node = trie.parent[node]
            wants.setdefault(node, []).append(Want(first + offset, request.targets[offset], index))
    return wants


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.cuda.OutOfMemoryError) or "not enough memory" in str(error)
