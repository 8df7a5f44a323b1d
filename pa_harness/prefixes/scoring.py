"""Log-likelihoods of continuations, every distinct token computed once.

log p(continuation | context) = Σ_t log softmax(z_t)[continuation_t], z_t the logits after the
context and the t continuation tokens before. Contexts that begin alike (few-shot prompts), the
options of one question, equal questions: each shared beginning goes through the model once.
Logits are made only where a probability is wanted; softmax and sum are in fp32 or wider.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pa_harness.prefixes.attention.tiles import layout
from pa_harness.prefixes.attention.tree import TreeAttention
from pa_harness.prefixes.passes import passes, wanted
from pa_harness.prefixes.transfer import Later
from pa_harness.prefixes.trie import TokenTrie, shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pa_harness.prefixes.reading import Reader
    from pa_harness.prefixes.trie import Tokens

    Array = np.ndarray[Any, np.dtype[Any]]
    Found = tuple["Answers", Array, Array, Later]  # whose, requests, targets, values

_BEHIND = 2  # passes that are given to an accelerator before the first one's values are waited for


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
    def cut(cls, context: Iterable[int], continuation: Sequence[int], length: int) -> Request:
        """The request for a context and a continuation, cut to a model's length in tokens."""
        whole = [*context, *continuation][-(length + 1) :]
        return cls(np.array(whole[:-1], dtype=np.int32), continuation)


class Plan:
    """The passes that answer some requests; the same for every λ.

    Attributes:
        numbers: of the requests, as the answers name them, [r].
        lengths: per request its targets, [r].
        passes: with the layout of each.
        path: tokens that all requests begin with; they lie in the first slots afterwards.
        capacity: slots that the passes need.
        distinct, stock: of `Counts`.
    """

    def __init__(
        self, requests: Mapping[int, Request], tokens: int, before: Plan | None = None
    ) -> None:
        """Plan.

        Args:
            requests: by number; their tokens and targets must not be empty.
            tokens: of a pass.
            before: what was scored just before, and left its path in the slots.
        """
        asked = list(requests.values())
        trie = TokenTrie([request.tokens for request in asked])
        wants = wanted(trie, [request.targets for request in asked])
        self.numbers = np.array(list(requests), dtype=np.int64)
        self.lengths = np.array([len(request.targets) for request in asked], dtype=np.int64)
        self.path = trie.trunk
        read = min((len(each.tokens) - len(each.targets) for each in asked), default=0)
        kept = min(read, shared(before.path, self.path)) if before else 0
        self.passes = [
            (part, layout(part, 0, len(part.tokens))) for part in passes(trie, wants, tokens, kept)
        ]
        self.capacity = max((part.kept + len(part.tokens) for part, _ in self.passes), default=0)
        self.distinct, self.stock = trie.distinct - kept, trie.whole


@torch.no_grad()
def score(reader: Reader, plans: Iterable[Plan]) -> Iterator[tuple[int, tuple[float, bool]]]:
    """Score all requests of some plans.

    Args:
        reader: of the model.
        plans: each for the one before, and for the `Limits.tokens` of the reader; they may be made
            while the device computes the ones before.

    Yields:
        A request's number and its answer, as soon as it is known: the log-likelihood in nats,
        and whether every target is the likeliest token (of equals the first).

    Raises:
        NotATreeError: the model attends in a way that only its forward pass shows.
    """
    with TreeAttention(reader.model) as attention:
        yield from answered(reader, _passes(reader, attention, plans))


def _passes(
    reader: Reader, attention: TreeAttention, plans: Iterable[Plan]
) -> Iterator[list[Found]]:
    for plan in plans:
        reader.counts.distinct += plan.distinct
        reader.counts.stock += plan.stock
        attention.make_room(plan.capacity)
        answers = Answers(plan.numbers, plan.lengths)
        for part, laid in plan.passes:
            read = reader.read(attention, part, laid)
            yield [(answers, part.requests[w], part.targets[w], Later(found)) for w, found in read]


class Answers:
    """The sums of a plan's requests so far."""

    def __init__(self, numbers: Array, lengths: Array) -> None:
        """Nothing is known yet.

        Args:
            numbers: of the requests, [r].
            lengths: per request its targets, [r].
        """
        self._numbers = numbers
        self._total = np.zeros(len(lengths))
        self._right = np.ones(len(lengths), dtype=bool)
        self._left = lengths.copy()

    def add(
        self, requests: Array, targets: Array, values: Array
    ) -> Iterator[tuple[int, tuple[float, bool]]]:
        """Add log-probabilities and likeliest tokens; the answers that they complete."""
        np.add.at(self._total, requests, values[0])
        np.logical_and.at(self._right, requests, values[1] == targets)
        np.subtract.at(self._left, requests, 1)
        for request in np.unique(requests[self._left[requests] == 0]).tolist():
            answer = float(self._total[request]), bool(self._right[request])
            yield int(self._numbers[request]), answer


def answered(
    reader: Reader, passes: Iterable[list[Found]]
) -> Iterator[tuple[int, tuple[float, bool]]]:
    """The answers that values complete; on an accelerator these are waited for some passes later.

    Args:
        reader: of the model.
        passes: the values of each.
    """
    behind = _BEHIND if reader.limits.ahead else 0
    under_way: deque[Found] = deque()

    def next_ones() -> Iterator[tuple[int, tuple[float, bool]]]:
        answers, requests, targets, later = under_way.popleft()
        yield from answers.add(requests, targets, later.get())

    for found in passes:
        under_way += found
        while len(under_way) > behind:
            yield from next_ones()
    while under_way:
        yield from next_ones()
