"""What a server answered, as it came: kept as text first, and believed only as far as it can be."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from pa_harness.foreign.reading import MALFORMED
from pa_harness.foreign.showing import one_line
from pa_harness.judging.asking.request import completion_of
from pa_harness.judging.asking.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_TOKENS = 10**7  # of a request: no model reads or writes more
_NAME = 200  # characters of a model's name
_SHOWN = 200  # of an answer, in a message
_ROUNDING = 0.01  # by which servers' log-probabilities exceed 0


def read_reply(text: str, guess: tuple[int, int]) -> Verdict:
    """The API's answer; as text, because servers leave fields out, add some, or send no JSON.

    Args:
        text: the body.
        guess: prompt and completion tokens, taken where the answer says nothing possible.

    Raises:
        ValueError: it is no such answer.
    """
    try:
        answer = _parsed(text)
        choice = completion_of(answer["choices"][0])
    except MALFORMED:
        raise ValueError(one_line(text[:_SHOWN])) from None
    named = one_line(str(answer.get("model") or "")[:_NAME])
    return Verdict(choice, named, *tokens_taken(text, guess))


def _parsed(text: str) -> Any:
    """JSON, however odd: a verdict that is paid for is not lost for what stands beside it."""
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 20 else math.inf)


def tokens_taken(text: str, guess: tuple[int, int]) -> tuple[int, int]:
    """Prompt and completion tokens as the server counts them, where that is a possible number."""
    try:
        said = _parsed(text)["usage"]
        counts = (said.get("prompt_tokens"), said.get("completion_tokens"))
    except MALFORMED:
        return guess
    return (_possible(counts[0], guess[0]), _possible(counts[1], guess[1]))


def _possible(count: Any, guess: int) -> int:
    """A whole number; servers that count nothing say 0, or nothing."""
    whole = isinstance(count, (int, float)) and not isinstance(count, bool)
    return int(count) if whole and 0 < count <= _MOST_TOKENS else guess


def are_probabilities(completion: Mapping[str, Any]) -> bool:
    """Whether the log-probabilities of an answer can be such; False where there are none."""
    try:
        content = completion["logprobs"]["content"]
        found = [float(top["logprob"]) for each in content for top in each["top_logprobs"]]
    except MALFORMED:
        return False
    return all(value <= _ROUNDING for value in found)  # NaN is not


def shown(completion: Mapping[str, Any]) -> str:
    """What a judge said, for a message: its text, and the likeliest first tokens."""
    text = repr(str(completion.get("text"))[:_SHOWN])
    try:
        first = completion["logprobs"]["content"][0]
        tokens = [str(each.get("token"))[:20] for each in first.get("top_logprobs") or ()]
    except MALFORMED:
        return f"{text} (no logprobs)"
    return f"{text} (first token one of {tokens[:20]})"
