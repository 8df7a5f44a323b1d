"""What judging costs, before it is asked for and while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pa_harness.errors import JudgeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pa_harness.judging.asking.request import Request

# Dollars per million tokens, prompt and completion, as OpenAI published them in 2024.
_PUBLISHED = {
    "gpt-4-1106-preview": (10.0, 30.0),
    "gpt-4-turbo": (10.0, 30.0),
    "gpt-4": (30.0, 60.0),
    "gpt-4-0314": (30.0, 60.0),
    "gpt-4-0613": (30.0, 60.0),
    "gpt-4o-mini-2024-07-18": (0.15, 0.60),
}
# Makes 765,061 of gpt-4-1106-preview's 805 published judgements of gemma-2b-it, which took 775,108.
_CHARACTERS_PER_TOKEN = 4.8


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens; None where not known."""

    prompt: float | None
    completion: float | None

    def of(self, prompt_tokens: float, completion_tokens: float) -> float | None:
        """Dollars; None where the price is not known."""
        if self.prompt is None or self.completion is None:
            return None
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True)
class Estimate:
    """Of what is yet to be asked."""

    calls: int
    prompt_tokens: int  # from the characters: not exact
    completion_tokens: int  # at most: the judge's limit
    dollars: float | None

    def __str__(self) -> str:
        """One sentence."""
        cost = "price not known (--price)" if self.dollars is None else f"${self.dollars:.2f}"
        return (
            f"{self.calls} calls, about {self.prompt_tokens:,} prompt tokens and at most "
            f"{self.completion_tokens:,} completion tokens: {cost}"
        )


def find_price(
    model: str, price_per_token: float | None, given: str | None, *, at_openai: bool
) -> Price:
    """The price, from the command line, the configuration, or OpenAI's list.

    Args:
        model: the judge's.
        price_per_token: dollars, if its configuration says so.
        given: ``PROMPT,COMPLETION`` or one number for both, dollars per million tokens.
        at_openai: whether the server is OpenAI's own.

    Raises:
        JudgeError: `given` is no price.
    """
    if given is not None:
        try:
            parts = [float(part) for part in given.split(",")]
        except ValueError:
            parts = []
        if len(parts) not in (1, 2) or not all(0 <= part < float("inf") for part in parts):
            raise JudgeError(
                f"--price {given}: expected dollars per million tokens, one number or two (prompt, "
                "completion), as in --price 0.15,0.60; 0 for a server of your own."
            )
        return Price(parts[0], parts[-1])
    if price_per_token is not None:
        return Price(price_per_token * 1e6, price_per_token * 1e6)
    if at_openai and model in _PUBLISHED:
        return Price(*_PUBLISHED[model])
    return Price(None, None)


def tokens_of(request: Request) -> tuple[int, int]:
    """Prompt tokens, estimated from the characters, and the most that may be answered."""
    prompt = round(request.characters / _CHARACTERS_PER_TOKEN)
    limit = request.body.get("max_tokens") or request.body.get("max_completion_tokens") or 0
    return prompt, int(limit)


def estimate(requests: Iterable[Request], price: Price) -> Estimate:
    """What the requests will take."""
    pairs = [tokens_of(request) for request in requests]
    prompt, completion = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    return Estimate(len(pairs), prompt, completion, price.of(prompt, completion))
