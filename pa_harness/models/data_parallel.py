"""Several processes answer one set of requests: each a share, then everybody has all answers.

lm-eval deals *documents* out, so that what a task draws at random (its shots) depends on the number
of processes, and does so on GPUs only. Here every process builds the same prompts, as if it were
alone, and only the model's work is divided. Numbers are those of one process.
"""

from __future__ import annotations

import logging
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from lm_eval.models.huggingface import HFLM

from pa_harness import processes
from pa_harness.models.generated import AnswerLengths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply


class DataParallelLM(HFLM):
    """HFLM that answers together with the other processes that accelerate started.

    Attributes:
        shares_requests: whether it does.
    """

    shares_requests = False

    def _join(self) -> None:
        """Take part, where every process holds a model of its own.

        Called once the model is there. Weights that are spread over the processes (FSDP) need
        lm-eval's own way: all of them must compute the same number of batches.
        """
        accelerator = getattr(self, "accelerator", None)
        kind = str(getattr(accelerator, "distributed_type", ""))
        if accelerator is None or "FSDP" in kind or "DEEPSPEED" in kind:
            return
        self.shares_requests = True
        self._rank, self._world_size = 0, 1  # to lm-eval, each process is alone

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """HFLM's."""
        return self._divide("loglikelihood", requests, disable_tqdm, super().loglikelihood)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """HFLM's."""
        ask = super().loglikelihood_rolling
        return self._divide("loglikelihood_rolling", requests, disable_tqdm, ask)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """HFLM's."""
        return self._divide("generate_until", requests, disable_tqdm, super().generate_until)

    def _divide(
        self,
        kind: str,
        requests: list[Any],
        quiet: bool,
        ask: Callable[[list[Any], bool], list[Any]],
    ) -> list[Any]:
        if not self.shares_requests:
            return ask(requests, quiet)
        quiet = quiet or processes.number() > 0
        if getattr(self.cache_hook, "dbdict", None) is not None:
            _log.warning("With --use_cache every process answers everything by itself.")
            return ask(requests, quiet)
        shares = divided(requests, processes.count())
        mine = shares[processes.number()]
        here = ask(requests[mine], quiet) if requests[mine] else []
        lengths = getattr(self, "answer_lengths", AnswerLengths())
        both = processes.gather((here, lengths.found))
        gathered = [answers for answers, _ in both]
        lengths.join(found for _, found in both)
        for share, answers in zip(shares, gathered, strict=True):
            if share is not mine:
                for request, answer in zip(requests[share], answers, strict=True):
                    self.cache_hook.add_partial(kind, request.args, answer)  # counts it
        return [answer for answers in gathered for answer in answers]


def divided(requests: Sequence[Any], parts: int) -> list[slice]:
    """Consecutive shares of about as many characters; a document's requests stay together."""
    sizes = [sum(len(str(text)) for text in request.args) for request in requests]
    total = sum(sizes)
    ends, done = [], [0, *accumulate(sizes)]
    for part in range(1, parts):
        end = next((n for n, size in enumerate(done) if size * parts >= total * part), 0)
        while 0 < end < len(requests) and requests[end].doc_id == requests[end - 1].doc_id:
            end += 1
        ends.append(end)
    return [slice(*pair) for pair in zip([0, *ends], [*ends, len(requests)], strict=True)]
