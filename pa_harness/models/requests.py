"""Requests that lm-eval would answer with a wrong number or an assertion: refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lm_eval.models.utils import normalize_gen_kwargs

from pa_harness.errors import PAHarnessError

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
