"""One OpenAI-compatible server, asked by many threads through one client.

Retries and waiting are decided here and not in the client: what a rate limit tells one thread holds
for all of them. The key is in the client only; texts that come from outside are cleared of it.
"""

from __future__ import annotations

import json
import logging
import math
import random
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from pa_harness.errors import JudgeError, first_line, missing_extra
from pa_harness.judging.asking.price import tokens_of
from pa_harness.judging.asking.request import completion_of
from pa_harness.judging.asking.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    import openai

    from pa_harness.judging.asking.request import Request

_log = logging.getLogger("lm_eval.pa_harness.judging.asking.server")
_LONGEST_WAIT = 60.0  # seconds between two attempts, where the server says nothing
_LONGEST_TOLD = 3600.0  # seconds, where it does
_MOST_LIMITED = 100  # times that one request waits for a rate limit
_WORTH_SAYING = 5.0  # seconds
_EVERY = 15.0  # seconds between two warnings that something is tried again
_SECRET = 8  # characters; a shorter key is a stand-in such as "none"
_AGAIN = {408, 409, 425, 429}  # and 5xx: worth another attempt
_FATAL = {401, 403, 404, 405, 501}  # the same for every request


class NoAnswer(Exception):
    """The server has no answer to this request; the others may have one."""


class Stopped(Exception):
    """Nothing more is to be asked."""


@dataclass(frozen=True)
class Patience:
    """How long and how often."""

    timeout: float = 120.0  # seconds for one attempt
    attempts: int = 8


class JudgeServer:
    """The server."""

    def __init__(
        self, base_url: str, key: str | None, patience: Patience, first_wait: float = 1.0
    ) -> None:
        """Make the client; nothing is sent.

        Args:
            base_url: with its ``/v1``.
            key: the API key; None where the server wants none.
            patience: time limit and attempts.
            first_wait: seconds before the second attempt; doubled from one to the next.

        Raises:
            ExtraError: the package openai is not installed.
        """
        try:
            from openai import OpenAI
        except ImportError as error:
            raise missing_extra("alpaca", "Judging", error) from None
        self.base_url = base_url
        self.stop = threading.Event()
        self._key = key
        self._patience, self._first_wait = patience, first_wait
        self._client = OpenAI(
            base_url=base_url,
            api_key=key or "none",
            timeout=patience.timeout,
            max_retries=0,
        )
        self._quiet_until = 0.0  # monotonic seconds: a rate limit, for all threads
        self._answered = False
        self._warned = -math.inf  # monotonic seconds

    def clear(self, text: str) -> str:
        """The text without the key."""
        known = self._key is not None and len(self._key) >= _SECRET
        return text.replace(self._key or "", "[key]") if known else text

    def ask(self, request: Request) -> Verdict:
        """The answer to one request, after as many attempts as it takes.

        Raises:
            NoAnswer: this request cannot be answered.
            JudgeError: no request can be.
            Stopped: `stop` was set while it waited.
        """
        import openai

        reason, attempt, limited = "", 0, 0
        while attempt < self._patience.attempts and limited < _MOST_LIMITED:
            self._wait_for_rate_limit()
            try:
                return self._once(request)
            except openai.APIStatusError as error:
                reason = f"status {error.status_code}: {self.clear(first_line(error))}"
                if self._wait_as_told(error, reason):
                    limited += 1
                    continue
            except openai.APIConnectionError as error:
                reason = self.clear(f"{first_line(error)} ({first_line(error.__cause__ or error)})")
                if not isinstance(error, openai.APITimeoutError) and not self._answered:
                    raise JudgeError(
                        f"The judge at {self.base_url} cannot be reached: {reason}. Is it running, "
                        "and is this its address? docs/judging.md shows how servers are started."
                    ) from None
            except ValueError as error:
                reason = f"not an answer of the API: {self.clear(first_line(error))}"
            attempt += 1
            if attempt < self._patience.attempts:
                self._warn(attempt, reason)
                pause = min(self._first_wait * 2 ** (attempt - 1), _LONGEST_WAIT)
                self._pause(pause * random.uniform(0.75, 1))
        raise NoAnswer(f"no answer in {attempt + limited} attempts; the last: {reason}")

    def _wait_as_told(self, error: openai.APIStatusError, reason: str) -> bool:
        """True where the server said how long to wait, which then holds for all threads.

        Raises:
            NoAnswer: another attempt would not help this request.
            JudgeError: it would help none.
        """
        status, wait = error.status_code, _retry_after(error.response.headers)
        if status in _FATAL or error.code == "insufficient_quota":
            raise self._refused(status, reason)
        if status not in _AGAIN and status < 500:
            raise NoAnswer(reason)
        if wait is None:
            return False
        if wait > _LONGEST_TOLD:
            raise JudgeError(
                f"The judge at {self.base_url} asks to wait {wait / 3600:.1f} hours ({reason}). "
                "What was answered is kept: run the same command again then."
            )
        if time.monotonic() + wait > self._quiet_until + _WORTH_SAYING:
            _log.warning("The judge asks to wait %.0f seconds (%s).", wait, reason)
        self._quiet_until = max(self._quiet_until, time.monotonic() + wait)
        return True

    def _warn(self, attempt: int, reason: str) -> None:
        """Say now and then that there is trouble: with long time limits all else is silence."""
        if time.monotonic() - self._warned >= _EVERY:
            self._warned = time.monotonic()
            of = f"attempt {attempt} of {self._patience.attempts}"
            _log.warning("The judge gave no answer (%s): %s. It is asked again.", of, reason)

    def _once(self, request: Request) -> Verdict:
        path = "/chat/completions" if request.endpoint == "chat" else "/completions"
        text = self._client.post(path, body=dict(request.body), cast_to=str)
        verdict = _read(self.clear(text), tokens_of(request))
        self._answered = True
        return verdict

    def _refused(self, status: int, reason: str) -> JudgeError:
        what = {
            429: "There is no credit left on this account.",
            401: "It wants a valid key: put it into the environment variable OPENAI_API_KEY, or "
            "name another by --api_key_env.",
            403: "The key may not use this model.",
        }.get(status, "Check --base_url (it ends in /v1) and --judge_model.")
        return JudgeError(f"The judge at {self.base_url} refuses: {reason}. {what}")

    def _wait_for_rate_limit(self) -> None:
        while (left := self._quiet_until - time.monotonic()) > 0:
            self._pause(left)
        if self.stop.is_set():
            raise Stopped

    def _pause(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped


def _read(text: str, guess: tuple[int, int]) -> Verdict:
    """The API's answer; as text, because servers leave fields out, add some, or send no JSON.

    Raises:
        ValueError: it is no such answer.
    """
    try:
        answer = json.loads(text)
        usage = answer.get("usage") or {}
        return Verdict(
            completion_of(answer["choices"][0]),
            answered_by=str(answer.get("model") or ""),
            prompt_tokens=int(usage.get("prompt_tokens") or guess[0]),
            completion_tokens=int(usage.get("completion_tokens") or guess[1]),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise ValueError(repr(text[:200])) from None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: a number, or a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError, TypeError):
        return None
