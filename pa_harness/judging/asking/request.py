"""What a judge is asked, as the API of OpenAI takes it, and what it answers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.foreign.reading import MALFORMED

if TYPE_CHECKING:
    from collections.abc import Mapping

# ChatML's and the templates' own: an output that holds one would be taken for the prompt's.
_MARKS = (
    *("<|im_start|>", "<|im_end|>"),
    *("{instruction}", "{output_1}", "{output_2}"),
)
_OPEN, _CLOSE = "\ue000", "\ue001"  # private use: in no text


@dataclass(frozen=True)
class Request:
    """What the server is asked: one prompt of an annotator."""

    endpoint: str  # chat or text
    body: Mapping[str, Any]  # as the API takes it: model, messages or prompt, parameters
    annotator: str  # of the pool
    instructions: tuple[str, ...]  # what the prompt asks about: one, or a batch

    def key(self, base_url: str) -> str:
        """sha256 of all that the verdict depends on.

        The messages hold instruction, both outputs, their order and the template; beside them
        stand the model, the parameters, and the server's address.
        """
        parts = [base_url, self.endpoint, self.body]
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()

    @property
    def characters(self) -> int:
        """Length of what is sent."""
        if self.endpoint == "text":
            return len(self.body["prompt"])
        return sum(len(message["content"]) for message in self.body["messages"])


def completion_of(choice: Mapping[str, Any]) -> dict[str, Any]:
    """A choice of the API's answer as upstream's parsers take it: with `text`.

    The text is the content, or the arguments of the function that the judge was to call.
    """
    message = choice.get("message") or {}
    try:
        calls = message.get("tool_calls") or ()
        called = message.get("function_call") or (calls[0].get("function") if calls else None)
        text = called["arguments"] if called else message.get("content", choice.get("text"))
    except MALFORMED:  # of the call; what it says stands there all the same
        text = message.get("content")
    if isinstance(text, list):  # in parts
        text = "".join(str(part.get("text") or "") for part in text)
    return {**choice, "text": text or ""}


def verdict_of(value: Any) -> float | None:
    """A preference in [1, 2], None if it is none.

    0 is alpaca-eval's old sign of a draw, −1 its sign of a lost verdict.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    number = 1.5 if number == 0 else number
    return number if 1 <= number <= 2 else None


def make_request(prompt: str, kwargs: Mapping[str, Any], instructions: tuple[str, ...]) -> Request:
    """The request for a formatted prompt, its texts marked.

    Args:
        prompt: in ChatML, which becomes messages; or plain, for a completion.
        kwargs: the configuration's completions_kwargs, and `annotator_name`.
        instructions: that it asks about.
    """
    body = {key: value for key, value in kwargs.items() if value is not None}
    about = (body.pop("annotator_name"), instructions)
    chat = body.pop("requires_chatml", prompt.strip().startswith(_MARKS[0]))
    body["model"] = body.pop("model_name")
    prompt = prompt.strip()
    if not chat:
        return Request("text", {**body, "prompt": unmarked(prompt)}, *about)
    if not prompt.startswith(_MARKS[0]):
        return Request("chat", {**body, "messages": [_message("user", prompt)]}, *about)
    messages = []
    for part in prompt.split(_MARKS[0])[1:]:
        role, _, content = part.partition("\n")
        messages.append(_message(role.strip(), content.split(_MARKS[1], 1)[0].strip()))
    return Request("chat", {**body, "messages": messages}, *about)


def _message(role: str, content: str) -> dict[str, str]:
    """A message; ChatML writes a speaker's name as ``system name=example_user``."""
    role, *settings = role.split()
    more = dict(setting.split("=", 1) for setting in settings)
    return {"role": role, "content": unmarked(content), **more}


def marked(text: str) -> str:
    """The text without what would break a prompt template; `unmarked` puts it back."""
    for mark in _MARKS:
        text = text.replace(mark, f"{_OPEN}{_MARKS.index(mark)}{_CLOSE}")
    return text


def unmarked(text: str) -> str:
    """The text as it was."""
    for number, mark in enumerate(_MARKS):
        text = text.replace(f"{_OPEN}{number}{_CLOSE}", mark)
    return text
