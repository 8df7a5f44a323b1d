"""Requests that lm-eval would answer with a wrong number or an assertion: refused by name."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs

from pa_harness.errors import PAHarnessError
from pa_harness.models.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 60  # characters of a text


def check_answer(texts: Sequence[str] | None, rest: Sequence[int], most: int) -> None:
    """Refuse an answer that has no token of its own, or more than fit.

    lm-eval takes the tokens of prompt and answer together, and those behind as many as the prompt
    alone has for the answer's. Where a token spans the join, or the answer is empty, none is left,
    and log p = 0 wins every question.

    Args:
        texts: prompt and answer.
        rest: the answer's token ids.
        most: tokens that the model can score.

    Raises:
        PAHarnessError: it is so.
    """
    if 0 < len(rest) <= most:
        return
    context, answer = texts if texts else ("", "")
    where = f"The answer {answer[:_SHOWN]!r} behind the prompt …{context[-_SHOWN:]!r}"
    if rest:
        raise PAHarnessError(
            f"{where} has {len(rest)} tokens; at most {most} can be scored. Raise max_length if "
            "the model can take it, or leave the document out."
        )
    raise PAHarnessError(
        f"{where} has no token of its own: the tokenizer joins it with the prompt's end, or it is "
        "empty. It would score log p = 0. Let prompt and answer meet where tokens do: begin the "
        "answer with the space (target_delimiter), or end the prompt with a line's end."
    )


def check_room(settings: Any, default: int, length: int) -> None:
    """Refuse to generate so many tokens that no room is left for the prompt.

    Args:
        settings: of a request's generation.
        default: tokens that are generated where the settings say nothing.
        length: tokens that prompt and answer may have together.

    Raises:
        PAHarnessError: no room is left.
    """
    if not isinstance(settings, dict):
        return
    asked = int(normalize_gen_kwargs(dict(settings), default)["max_gen_toks"])
    if asked >= length:
        raise PAHarnessError(
            f"max_gen_toks={asked} leaves no room for the prompt: prompt and answer may have "
            f"{length} tokens together (max_length). Generate fewer (--gen_kwargs max_gen_toks=N), "
            "or raise max_length if the model can take it."
        )


class CheckedLM(HFLM):
    """HFLM that refuses what it would answer with a wrong number or an assertion."""

    @cached_property
    def texts(self) -> Texts:
        """What is known of the tokenizer's texts."""
        return Texts()

    def check_requests(self, requests: Sequence[Any]) -> None:
        """Refuse, before anything is computed, what cannot be answered; tokens are remembered.

        Raises:
            PAHarnessError: an answer has no tokens, or too many; or no room is left for a prompt.
        """
        if self.backend != "causal":
            return
        asked = [each.args for each in requests if each.request_type == "loglikelihood"]
        if asked and not self.enable_thinking:
            for texts, (_, rest) in zip(asked, self.texts.pairs(self, asked), strict=True):
                check_answer(texts, rest, self.max_length)
        for each in requests:
            if each.request_type == "generate_until":
                check_room(each.args[1], self.max_gen_toks, self.max_length)

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, **given: Any
    ) -> list[tuple[float, bool]]:
        if self.backend == "causal":
            for texts, _, rest in requests:
                check_answer(texts, rest, self.max_length)
        found: list[tuple[float, bool]] = super()._loglikelihood_tokens(
            requests, disable_tqdm, **given
        )
        return found

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """HFLM's."""
        if self.backend == "causal":
            for each in requests:
                check_room(each.args[1], self.max_gen_toks, self.max_length)
        texts: list[str] = super().generate_until(requests, disable_tqdm)
        return texts
