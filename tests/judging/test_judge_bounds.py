"""What one try at a judge may cost, whatever the server does: seconds, bytes, money, secrets.

The servers are real ones on 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fake_judge import FakeJudge, chat_answer

from pa_harness.errors import JudgeError
from pa_harness.judging.asking.request import Request
from pa_harness.judging.asking.server import JudgeServer, NoAnswer, Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pa_harness.judging.asking.verdicts import Verdict

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def request() -> Request:
    body = {"model": "fake", "messages": [{"role": "user", "content": "Which?"}], "max_tokens": 1}
    return Request("chat", body, "judge", ("Which?",))


def ask(url: str, *, timeout: float = 5.0, attempts: int = 2) -> tuple[Verdict, list[str]]:
    """The answer, and the bodies that were kept before anything was made of them."""
    kept: list[str] = []

    async def once() -> Verdict:
        async with JudgeServer(url, "sk-0123456789", Patience(timeout, attempts), 0.01) as judge:
            return await judge.ask(request(), kept.append)

    return asyncio.run(once()), kept


@contextmanager
def sending(parts: Callable[[], Iterator[bytes]], pause: float = 0.0) -> Iterator[str]:
    """A server that sends these bytes to whoever asks, with pauses between."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(1 << 16)
                try:
                    for part in parts():
                        connection.sendall(part)
                        time.sleep(pause)
                except OSError:  # it was hung up on
                    continue

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        listening.close()


@pytest.mark.parametrize("head", [HEAD + b"Content-Length: 1000\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_a_server_that_drips_is_not_waited_for(head: bytes) -> None:
    """A byte now and then, of the answer or of its headers, is no sign of life."""

    def drops() -> Iterator[bytes]:
        yield head
        for number in range(1000):
            yield b" " if b"\r\n\r\n" in head else b"X-%d: 1\r\n" % number

    began = time.monotonic()
    with sending(drops, 0.05) as url, pytest.raises(NoAnswer, match=r"within 0\.4 seconds"):
        ask(url, timeout=0.4)
    assert time.monotonic() - began < 4, "two attempts of 0.4 seconds"


@pytest.mark.parametrize("head", [b"Content-Length: 1073741824\r\n\r\n", b"\r\n"])
def test_an_answer_without_end_is_not_read(head: bytes) -> None:
    """Whether or not the server says how long it is."""
    sent = [0]

    def without_end() -> Iterator[bytes]:
        yield HEAD + head
        for _ in range(1024):
            sent[0] += 1
            yield b"x" * (1 << 20)

    with sending(without_end) as url, pytest.raises(NoAnswer, match="larger than 8 MiB"):
        ask(url)
    assert sent[0] < 100, "MiB, in two attempts"


def test_a_packed_answer_is_refused() -> None:
    """A few kilobytes may become gigabytes."""
    body = b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx"
    with sending(lambda: iter([HEAD + body])) as url, pytest.raises(NoAnswer, match="is packed"):
        ask(url)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Or the key, and what was asked, would go to another host."""
    with FakeJudge() as other:
        where = {"Location": f"{other.url}/chat/completions"}
        with (
            FakeJudge(lambda *_: (status, where, b"")) as fake,
            pytest.raises(JudgeError, match=f"refuses: status {status}"),
        ):
            ask(fake.url)
        assert other.requests == 0


@pytest.mark.parametrize("told", ["0", "-5", "nan", "-inf", "0.0", "soon"])
def test_a_rate_limit_without_a_time_ends(told: str) -> None:
    """It counts as an attempt; waits grow."""
    limited = (429, {"Retry-After": told}, b"slow down")
    with FakeJudge(lambda number, _: limited if number < 8 else None) as fake:
        with pytest.raises(NoAnswer, match=r"no answer in 3 attempts.*429"):
            ask(fake.url, attempts=3)
        assert fake.requests == 3


@pytest.mark.parametrize("count", [-1, 0, 1e30, 10**30, float("nan"), "12", None, True, [5]])
def test_tokens_that_cannot_be_are_the_estimate(count: Any) -> None:
    """A limit of cost would never be reached, or at once."""
    answer = chat_answer("Which?", "fake") | {
        "usage": {"prompt_tokens": count, "completion_tokens": count}
    }
    with FakeJudge(lambda *_: (200, {}, answer)) as fake:
        verdict, kept = ask(fake.url)
    assert 0 < verdict.prompt_tokens < 100
    assert 0 < verdict.completion_tokens < 100
    assert len(kept) == 1


def test_openais_accounts_are_openais_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    with FakeJudge() as fake:
        ask(fake.url)
        assert not any("secret" in str(each) for each in fake.headers)
        monkeypatch.setattr("pa_harness.judging.asking.server.OPENAI_URL", fake.url)
        ask(fake.url)
    assert sum("org-secret" in str(each) for each in fake.headers) == 1
