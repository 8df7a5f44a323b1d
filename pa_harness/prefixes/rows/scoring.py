"""Log-likelihoods in row form: the same requests, plans and answers as `prefixes.scoring`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch

from pa_harness.prefixes.limits import is_out_of_memory
from pa_harness.prefixes.passes import wanted
from pa_harness.prefixes.reading import said
from pa_harness.prefixes.rows.drafting import steps
from pa_harness.prefixes.rows.stack import Stack
from pa_harness.prefixes.rows.steps import Ends
from pa_harness.prefixes.scoring import Answers, answered
from pa_harness.prefixes.transfer import Later, uploaded
from pa_harness.prefixes.trie import TokenTrie

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pa_harness.prefixes.reading import Reader
    from pa_harness.prefixes.rows.steps import Room, Step
    from pa_harness.prefixes.scoring import Found, Request

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply


class RowPlan:
    """The steps that answer some requests; the same for every λ.

    Attributes:
        numbers, lengths, distinct, stock: of `scoring.Plan`.
        steps: in order.
    """

    def __init__(self, requests: Mapping[int, Request], room: Room) -> None:
        """Plan.

        Args:
            requests: by number; their tokens and targets must not be empty.
            room: what a step may take.
        """
        asked = list(requests.values())
        trie = TokenTrie([request.tokens for request in asked])
        wants = wanted(trie, [request.targets for request in asked])
        self.numbers = np.array(list(requests), dtype=np.int64)
        self.lengths = np.array([len(request.targets) for request in asked], dtype=np.int64)
        self.steps = steps(trie, wants, room, Ends.of_texts(trie, room))
        self.distinct, self.stock = trie.distinct, trie.whole


@torch.no_grad()
def score(reader: Reader, plans: Iterable[RowPlan]) -> Iterator[tuple[int, tuple[float, bool]]]:
    """Score all requests of some plans; as `prefixes.scoring.score` does.

    Args:
        reader: of the model.
        plans: made for the room of the reader.

    Yields:
        A request's number and its answer.
    """
    yield from answered(reader, _steps(reader, plans))


def _steps(reader: Reader, plans: Iterable[RowPlan]) -> Iterator[list[Found]]:
    for plan in plans:
        reader.counts.distinct += plan.distinct
        reader.counts.stock += plan.stock
        stack, answers = Stack(reader), Answers(plan.numbers, plan.lengths)
        for step in plan.steps:
            reader.counts.computed += step.tokens.size
            read = _values(reader, stack, step, slice(0, len(step.of)))
            yield [(answers, step.requests[w], step.targets[w], Later(found)) for w, found in read]


def _values(
    reader: Reader, stack: Stack, step: Step, rows: slice
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Run rows of a step; those that memory does not suffice for in halves.

    Yields:
        Which wants of the step, and of each the log-probability and the likeliest token where it
        was read, float64 on the device, [2, wants].
    """
    try:
        found = list(_run(reader, stack, step, rows))
    except (RuntimeError, MemoryError) as error:
        count = rows.stop - rows.start
        if not is_out_of_memory(error) or step.keeps or count == 1:
            raise
        found = []
        middle = rows.start + count // 2
        _log.warning("Out of memory: a pass of %d rows in halves.", count)
        for half in (slice(rows.start, middle), slice(middle, rows.stop)):
            found += _values(reader, stack, step, half)
    yield from found


def _run(
    reader: Reader, stack: Stack, step: Step, rows: slice
) -> Iterator[tuple[slice, torch.Tensor]]:
    wants = slice(*np.searchsorted(step.reading[:, 0], [rows.start, rows.stop]).tolist())
    (targets,) = uploaded([step.targets[wants]], reader.device)
    for some, logits in stack.run(step, rows, step.reading[wants] - [rows.start, 0]):
        at = slice(wants.start + some.start, min(wants.start + some.stop, wants.stop))
        if at.start < at.stop:
            yield at, said(logits, targets[some], reader.dtype)
