"""One OpenAI-compatible server, asked many things at a time through one client.

One try is bounded: in seconds, from the first byte sent to the last received, and in bytes. Retries
and waiting are decided here: what a rate limit tells one request holds for all of them. Redirects
are not followed, or the key would go along. The key is in the client only; texts that come from
outside are cleared of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from pa_harness import __version__
from pa_harness.errors import JudgeError, first_line, missing_extra
from pa_harness.foreign.reading import MALFORMED
from pa_harness.foreign.showing import one_line
from pa_harness.judging.annotator import OPENAI_URL
from pa_harness.judging.asking.price import tokens_of
from pa_harness.judging.asking.refusals import Refusal, cure_of, refused_parameter
from pa_harness.judging.asking.reply import read_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pa_harness.judging.asking.request import Request
    from pa_harness.judging.asking.verdicts import Verdict

# Of OpenAI's accounts; they are nobody else's business.
_OPENAIS = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
_log = logging.getLogger("lm_eval.pa_harness.judging.asking.server")
_MOST_BYTES = 8 << 20  # of an answer; 2,048 tokens with 20 alternatives each are 3 MB
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

    timeout: float = 120.0  # seconds for one attempt, however the server spends them
    attempts: int = 8


class JudgeServer:
    """The server; an asynchronous context, in which it is asked."""

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
            ExtraError: the package httpx2 is not installed.
            JudgeError: the address is none.
        """
        try:
            import httpx2
        except ImportError as error:
            raise missing_extra("alpaca", "Judging", error) from None
        try:
            httpx2.URL(base_url)
        except (httpx2.InvalidURL, ValueError) as error:
            raise JudgeError(f"--base_url {base_url}: {first_line(error)}.") from None
        self.base_url = base_url
        self.patience = patience
        self._httpx: Any = httpx2
        self._key, self._first_wait = key, first_wait
        self._quiet_until = 0.0  # monotonic seconds: a rate limit, for all requests
        self._answered = False
        self._warned = -math.inf  # monotonic seconds

    async def __aenter__(self) -> JudgeServer:
        """Open the connections' pool."""
        own = {"User-Agent": f"pa-harness/{__version__}", "Accept-Encoding": "identity"}
        if self._key:
            own["Authorization"] = f"Bearer {self._key}"
        if self.base_url == OPENAI_URL:
            own |= {name: os.environ[at] for name, at in _OPENAIS.items() if os.environ.get(at)}
        limits = self._httpx.Limits(max_connections=None)
        self._client = self._httpx.AsyncClient(headers=own, timeout=None, limits=limits)
        self._stop = asyncio.Event()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self._client.aclose()

    def stop(self) -> None:
        """Let no further attempt begin; those that are under way may end."""
        self._stop.set()

    def clear(self, text: str) -> str:
        """The text without the key."""
        known = self._key is not None and len(self._key) >= _SECRET
        return text.replace(self._key or "", "[key]") if known else text

    async def ask(self, request: Request, arrived: Callable[[str], None]) -> Verdict:
        """The answer to one request, after as many attempts as it takes.

        Args:
            request: what is asked.
            arrived: given the body of every answer with status 200, before anything is made of it.

        Raises:
            NoAnswer: this request cannot be answered.
            JudgeError: no request can be.
            Stopped: `stop` was called while it waited.
        """
        reason, attempt, limited = "", 0, 0
        while attempt < self.patience.attempts and limited < _MOST_LIMITED:
            await self._wait_for_rate_limit()
            try:
                return await self._once(request, arrived)
            except Refusal as refusal:
                reason = f"status {refusal.status}: {refusal.what}"
                if self._wait_as_told(refusal, request, reason, limited):
                    limited += 1
                    continue
            except (asyncio.TimeoutError, self._httpx.HTTPError) as error:
                reason = self._trouble(error)
            except ValueError as error:
                reason = f"not an answer of the API: {self.clear(first_line(error))}"
            attempt += 1
            if attempt < self.patience.attempts:
                self._warn(attempt, reason)
                await self._pause(self._growing(attempt - 1))
        raise NoAnswer(f"no answer in {attempt + limited} attempts; the last: {reason}")

    async def _once(self, request: Request, arrived: Callable[[str], None]) -> Verdict:
        """One try: no longer, and no larger, than it may be."""
        status, headers, content = await asyncio.wait_for(
            self._post(request), self.patience.timeout
        )
        text = self.clear(content.decode("utf-8", "replace"))
        if status != 200:
            raise Refusal.of(status, headers, text)
        arrived(text)
        verdict = read_reply(text, tokens_of(request))
        self._answered = True
        return verdict

    async def _post(self, request: Request) -> tuple[int, Mapping[str, str], bytes]:
        path = "/chat/completions" if request.endpoint == "chat" else "/completions"
        body = json.dumps(dict(request.body)).encode()
        headers = {"Content-Type": "application/json"}
        content = bytearray()
        async with self._client.stream(
            "POST", self.base_url + path, content=body, headers=headers
        ) as response:
            packed = response.headers.get("content-encoding", "identity")
            if packed != "identity":  # nobody knows how large it becomes
                raise ValueError(f"it is packed ({packed}), which was not asked for")
            async for part in response.aiter_raw():
                content += part
                if len(content) > _MOST_BYTES:
                    raise ValueError(f"it is larger than {_MOST_BYTES >> 20} MiB")
        return response.status_code, response.headers, bytes(content)

    def _trouble(self, error: Exception) -> str:
        """Why there was no answer at all.

        Raises:
            JudgeError: nobody is there.
        """
        if isinstance(error, asyncio.TimeoutError):
            return f"no whole answer within {self.patience.timeout:g} seconds (--timeout)"
        reason = self.clear(one_line(f"{first_line(error)} ({type(error).__name__})"))
        if isinstance(error, self._httpx.ConnectError) and not self._answered:
            raise JudgeError(
                f"The judge at {self.base_url} cannot be reached: {reason}. Is it running, "
                "and is this its address? docs/judging.md shows how servers are started."
            ) from None
        return reason

    def _wait_as_told(self, refusal: Refusal, request: Request, reason: str, limited: int) -> bool:
        """True where the server said how long to wait, which then holds for all requests.

        Raises:
            NoAnswer: another attempt would not help this request.
            JudgeError: it would help none.
        """
        status, wait = refusal.status, _retry_after(refusal.headers)
        at = f"The judge at {self.base_url}"
        if status in _FATAL or 300 <= status < 400 or refusal.code == "insufficient_quota":
            raise JudgeError(f"{at} refuses: {reason}. {cure_of(refusal)}")
        parameter = refused_parameter(refusal, request.body)
        if parameter:
            raise JudgeError(f"{at} refuses: {reason}. {cure_of(refusal, parameter)}")
        if status not in _AGAIN and status < 500:
            raise NoAnswer(reason)
        if wait is None:
            return False
        if wait > _LONGEST_TOLD:
            raise JudgeError(
                f"{at} asks to wait {wait / 3600:.1f} hours ({reason}). "
                "What was answered is kept: run the same command again then."
            )
        wait = max(wait, self._growing(limited))  # however little it says, again and again
        if time.monotonic() + wait > self._quiet_until + _WORTH_SAYING:
            _log.warning("The judge asks to wait %.0f seconds (%s).", wait, reason)
        self._quiet_until = max(self._quiet_until, time.monotonic() + wait)
        return True

    def _growing(self, before: int) -> float:
        """Seconds to wait after so many tries."""
        longest = min(self._first_wait * 2.0 ** min(before, 30), _LONGEST_WAIT)
        return longest * random.uniform(0.75, 1)

    def _warn(self, attempt: int, reason: str) -> None:
        """Say now and then that there is trouble: with long time limits all else is silence."""
        if time.monotonic() - self._warned >= _EVERY:
            self._warned = time.monotonic()
            of = f"attempt {attempt} of {self.patience.attempts}"
            _log.warning("The judge gave no answer (%s): %s. It is asked again.", of, reason)

    async def _wait_for_rate_limit(self) -> None:
        while (left := self._quiet_until - time.monotonic()) > 0:
            await self._pause(left)
        if self._stop.is_set():
            raise Stopped

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except asyncio.TimeoutError:
            return
        raise Stopped


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: a number, or a date; None where it says none."""
    wait = math.nan
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        if not wait > 0:
            try:
                wait = float(headers.get(name, "")) / unit
            except ValueError:
                continue
    if math.isnan(wait) and "retry-after" in headers:
        try:
            wait = parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time()
        except MALFORMED:
            return None
    return wait if 0 < wait < math.inf else None
