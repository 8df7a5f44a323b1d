"""How long generated answers are, how much of them is thinking, and whether they ended.

Of the tokens themselves. A text does not tell: cut into tokens again it may have others, and its
stop sequence and its thinking are cut off.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pa_harness.errors import ModelArgsError
from pa_harness.models.requests import CheckedLM

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import torch

    Decode = Callable[[Sequence[int]], str]


class Length(NamedTuple):
    """The length of one answer, in tokens; the last two NaN of a model without a thinking block.

    Attributes:
        tokens: all, without an end token.
        ended: whether it ended by itself; else it was cut at the limit.
        thinking: those up to the mark that ends the thinking, the mark with them (the last one, as
            lm-eval cuts there); all where a block was opened and never closed; 0 without a block.
        closed: 1 where the answer has that mark, else 0.
    """

    tokens: int
    ended: bool
    thinking: float = math.nan
    closed: float = math.nan


@dataclass(frozen=True)
class Thinking:
    """How a model's thinking ends: lm-eval's `think_end_token`.

    Attributes:
        mark: a text, or the id of a token.
        opening: the text that begins a block: that of the mark without its slash; empty if unknown.
        decode: tokens to text as lm-eval does it, without special tokens.
    """

    mark: str | int
    opening: str
    decode: Decode

    @classmethod
    def of(cls, mark: str | int | None, tokenizer: Any) -> Thinking | None:
        """Of a model's arguments; None where they name no mark.

        Raises:
            ModelArgsError: the mark is a special token that lm-eval never sees in a text.
        """
        if mark is None:
            return None
        text = mark if isinstance(mark, str) else str(tokenizer.convert_ids_to_tokens(mark))
        if isinstance(mark, str) and mark in tokenizer.all_special_tokens:
            raise ModelArgsError(
                f"think_end_token={mark} is a special token of this tokenizer, and lm-eval leaves "
                "those out of answers before it looks for it: no thinking would ever be cut off. "
                f"Pass its id: think_end_token={tokenizer.convert_tokens_to_ids(mark)}."
            )
        opening = text.replace("/", "", 1) if "/" in text else ""
        return cls(mark, opening, lambda ids: tokenizer.decode(ids, skip_special_tokens=True))

    def measured(self, tokens: Sequence[int]) -> tuple[float, float]:
        """`Length.thinking` and `Length.closed` of an answer's tokens."""
        end = self._end(tokens)
        if end:
            return float(end), 1.0
        opened = bool(self.opening) and self.opening in self.decode(tokens)
        return (float(len(tokens)) if opened else 0.0), 0.0

    def _end(self, tokens: Sequence[int]) -> int:
        """How many tokens there are up to the last mark, 0 without one."""
        if isinstance(self.mark, int):
            return max((n for n, token in enumerate(tokens, 1) if token == self.mark), default=0)
        mark = self.mark
        marks = self.decode(tokens).count(mark)

        def complete(count: int) -> bool:
            return self.decode(tokens[:count]).count(mark) >= marks

        return bisect_left(range(len(tokens) + 1), True, key=complete) if marks else 0

    def is_open(self, prompt: str) -> bool:
        """Whether a prompt ends within a block, as some chat templates have it."""
        text = self.mark if isinstance(self.mark, str) else self.opening.replace("<", "</", 1)
        return bool(self.opening) and self.opening in prompt.rpartition(text)[2]


def measured(
    tokens: Sequence[int],
    ends: Collection[int],
    until: Collection[str],
    decode: Decode,
    thinking: Thinking | None = None,
) -> Length:
    """The length of one answer.

    Args:
        tokens: as generated; whatever follows the answer's end does not count.
        ends: token ids that end an answer.
        until: texts that do; the tokens of one belong to the answer.
        decode: tokens to text.
        thinking: how thinking ends, in the answers of a model that thinks.
    """
    count, ended = _measured(tokens, ends, until, decode)
    return Length(count, ended, *(thinking.measured(tokens[:count]) if thinking else ()))


def _measured(
    tokens: Sequence[int], ends: Collection[int], until: Collection[str], decode: Decode
) -> tuple[int, bool]:
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
    """Those of one evaluation, by the prompt that was answered, in the order of its answers."""

    def __init__(self, thinking: Thinking | None = None) -> None:
        self.found: dict[str, list[Length]] = {}
        self._batch: deque[Length] = deque()
        self._thinking = thinking

    def add(self, prompt: str, length: Length) -> None:
        """Keep the length of one more answer to a prompt."""
        thinking = self._thinking
        if thinking and not length.closed and thinking.is_open(prompt):
            length = length._replace(thinking=float(length.tokens))
        self.found.setdefault(prompt, []).append(length)

    def join(self, shares: Iterable[Mapping[str, list[Length]]]) -> None:
        """Take what several processes found, each of its share of the answers, in their order."""
        joined: dict[str, list[Length]] = {}
        for share in shares:
            for prompt, lengths in share.items():
                joined.setdefault(prompt, []).extend(lengths)
        self.found = joined

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
        thinking: how it ends; None of a model that does not think.
    """

    answer_lengths = AnswerLengths()
    thinking: Thinking | None = None

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
            measured(row[asked:], ends, stop, decode, self.thinking) for row in rows.tolist()
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
