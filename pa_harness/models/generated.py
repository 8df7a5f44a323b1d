"""How long generated answers are, and whether they ended by themselves: of the tokens themselves.

A text does not tell: cut into tokens again it may have others, and its stop sequence is cut off.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pa_harness.models.requests import CheckedLM

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    import torch

Length = tuple[int, bool]  # tokens, without an end token; whether the answer ended by itself


def measured(
    tokens: Sequence[int],
    ends: Collection[int],
    until: Collection[str],
    decode: Callable[[Sequence[int]], str],
) -> Length:
    """The length of one answer.

    Args:
        tokens: as generated; whatever follows the answer's end does not count.
        ends: token ids that end an answer.
        until: texts that do; the tokens of one belong to the answer.
        decode: tokens to text.
    """
    for number, token in enumerate(tokens):
        if token in ends:
            return number, True

    def stopped(count: int) -> bool:
        text = decode(tokens[:count])
        return any(stop in text for stop in until)

    if not stopped(len(tokens)):
        return len(tokens), False
    return bisect_left(range(len(tokens) + 1), True, key=stopped), True


class AnswerLengths:
    """Those of one evaluation, by the prompt that was answered."""

    def __init__(self) -> None:
        self.found: dict[str, Length] = {}
        self._batch: deque[Length] = deque()

    def add(self, prompt: str, length: Length) -> None:
        """Keep the length of a prompt's first answer."""
        self.found.setdefault(prompt, length)

    def expect(self, lengths: Iterable[Length]) -> None:
        """Lengths whose prompts lm-eval will name, one after the other, with their answers."""
        self._batch = deque(lengths)

    @contextmanager
    def noting(self, lm: Any) -> Iterator[None]:
        """While lm-eval's own code generates: match what it reports with what was expected."""
        hook = lm.cache_hook
        lm.cache_hook = _Noting(hook, self)
        try:
            yield
        finally:
            lm.cache_hook = hook

    def report(self, prompt: str) -> None:
        """lm-eval has reported an answer to this prompt."""
        if self._batch:
            self.add(prompt, self._batch.popleft())


class LengthsLM(CheckedLM):
    """HFLM that notes how long its answers are.

    Attributes:
        answer_lengths: of the last `generate_until`; who overrides that begins new ones.
    """

    answer_lengths = AnswerLengths()

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """HFLM's."""
        with self.answer_lengths.noting(self):
            texts: list[str] = super().generate_until(requests, disable_tqdm)
        return texts

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **given: Any
    ) -> torch.Tensor:
        rows: torch.Tensor = super()._model_generate(context, max_length, stop, **given)
        asked = context.shape[1] if self.backend == "causal" else 1
        ends, decode = end_ids(self.model), self.tokenizer.decode
        self.answer_lengths.expect(
            measured(row[asked:], ends, stop, decode) for row in rows.tolist()
        )
        return rows


def end_ids(model: Any) -> frozenset[int]:
    """Token ids that end a generation of a transformers model."""
    ends = model.generation_config.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or ())


class _Noting:
    """Stands in the place of a cache hook."""

    def __init__(self, hook: Any, lengths: AnswerLengths) -> None:
        self._hook, self._lengths = hook, lengths

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hook, name)

    def add_partial(self, attribute: str, request: Any, result: Any) -> None:
        self._lengths.report(request[0])
        self._hook.add_partial(attribute, request, result)
