"""A server that says no: what it says, whether to every request, and what can be done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pa_harness.foreign.reading import MALFORMED, parse_json
from pa_harness.foreign.showing import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 300  # characters of what it says
_UNSUPPORTED = {"unsupported_parameter", "unsupported_value", "unknown_parameter"}
_NEVER = re.compile(
    r"(?i)\b(unsupported|not supported|(does|do) not support|unrecognized|unknown|not permitted)\b"
)
_PROMPTS = {"messages", "prompt"}  # of these it may be this request's only
_LOGPROBS = {"logprobs", "top_logprobs"}


class Refusal(Exception):
    """An answer with another status than 200.

    Attributes:
        status: of HTTP.
        headers: of the answer.
        what: it says, on one line.
        code: OpenAI's name of the error; empty where there is none.
        parameter: of the request, which it is about; likewise.
    """

    def __init__(
        self, status: int, headers: Mapping[str, str], what: str, code: str, parameter: str
    ) -> None:
        super().__init__(what)
        self.status, self.headers, self.what = status, headers, what
        self.code, self.parameter = code, parameter

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], text: str) -> Refusal:
        """What an answer says; servers differ in the form."""
        said: dict[str, Any] = {}
        try:
            answer = parse_json(text)
            inner = answer.get("error", answer)
            said = inner if isinstance(inner, dict) else {"message": inner}
        except MALFORMED:
            pass
        what = str(said.get("message") or said.get("detail") or text)
        named = [str(said.get(name) or "") for name in ("code", "param")]
        return cls(status, headers, one_line(what.strip()[:_SHOWN]) or "no reason", *named)


def refused_parameter(refusal: Refusal, body: Mapping[str, Any]) -> str:
    """The parameter of every request that the server does not take; empty where that is not why."""
    if refusal.status not in (400, 422):
        return ""
    never = refusal.code in _UNSUPPORTED or _NEVER.search(refusal.what)
    named = [refusal.parameter, *re.findall(r"['\"`]?\b([a-z_]+)\b['\"`]?", refusal.what)]
    known = [name for name in named if name in body and name not in _PROMPTS and name != "model"]
    return known[0] if never and known else ""


def cure_of(refusal: Refusal, parameter: str = "") -> str:
    """What to do about what the server would say to every request."""
    if parameter in _LOGPROBS:
        return (
            "This annotator weighs tokens, which needs logprobs. Choose one that reads text, such "
            "as --annotator alpaca_eval_gpt4, or a server that returns them."
        )
    if parameter == "max_tokens":
        return (
            "Give --annotator a YAML file with the same configuration and `max_completion_tokens: "
            "N` in its completions_kwargs, in the place of max_tokens (docs/judging.md)."
        )
    if parameter:
        return (
            f"Give --annotator a YAML file with the same configuration and `{parameter}: null` in "
            "its completions_kwargs, which leaves it out (docs/judging.md)."
        )
    if 300 <= refusal.status < 400:
        to = one_line(refusal.headers.get("location", "")[:_SHOWN])
        return (
            f"It redirects to {to or 'nowhere'}, which is not followed, or the key would go along. "
            "If that is the server you mean, give it as --base_url."
        )
    if refusal.code == "insufficient_quota":
        return "There is no credit left on this account."
    return {
        401: "It wants a valid key: put it into the environment variable OPENAI_API_KEY, or "
        "name another by --api_key_env.",
        403: "The key may not use this model.",
    }.get(refusal.status, "Check --base_url (it ends in /v1) and --judge_model.")
