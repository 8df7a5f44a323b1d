"""A model's forward pass whose logits are made a few rows at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from pa_harness.prefixes.attention.tree import NotATreeError, TreeAttention

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transformers import PreTrainedModel

    from pa_harness.prefixes.attention.tree import Work


class Forward:
    """Runs a model in a `TreeAttention`.

    Attributes:
        rows: of logits at a time.
    """

    def __init__(self, model: PreTrainedModel, attention: TreeAttention, rows: int) -> None:
        self._model, self._attention, self.rows = model, attention, rows

    def logits(
        self, tokens: torch.Tensor, positions: torch.Tensor, reading: torch.Tensor, work: Work
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """The logits of some tokens.

        Args:
            tokens: ids, [1, n].
            positions: [1, n].
            reading: of which tokens, [r], r ≥ 1.
            work: what the tokens are.

        Yields:
            Which of `reading`, and their logits, [few, vocabulary].
        """
        self._attention.expect(work)
        whole = self._model.base_model is self._model  # then nothing stands below a head
        step = len(reading) if whole else self.rows
        with once(self._model):
            for first in range(0, len(reading), step):
                some = slice(first, min(first + step, len(reading)))
                logits = self._model(
                    input_ids=tokens[:, : None if first == 0 else 0],  # nobody counts them twice
                    position_ids=positions,
                    logits_to_keep=reading[some],
                    use_cache=False,
                ).logits[0]
                if len(logits) != some.stop - some.start or not self._attention.calls:
                    name = type(self._model).__name__
                    raise NotATreeError(f"{name} went around the exchanged attention")
                yield some, logits


@contextmanager
def once(model: Any, say: Callable[[Any], Any] | None = None) -> Iterator[None]:
    """While it lasts the decoder below a model's head computes once, and then says it again.

    So the head's own arithmetic (scaling, soft-capping) is the model's, for a few rows at a time.

    Args:
        model: with something below its head, or nothing is changed.
        say: what the head is given instead of what the decoder said, each time.
    """
    decoder = model.base_model
    if decoder is model:
        yield
        return
    forward, before = decoder.forward, decoder.__dict__.get("forward")
    said: list[Any] = []

    def computed(*args: Any, **kwargs: Any) -> Any:
        if not said:
            said.append(forward(*args, **kwargs))
        return say(said[0]) if say else said[0]

    decoder.forward = computed
    try:
        yield
    finally:
        if before is None:
            del decoder.forward
        else:
            decoder.forward = before
