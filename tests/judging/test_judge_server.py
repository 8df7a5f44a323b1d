"""A judge that fails in every way that servers fail; what is kept, what is asked again, and when.

The server is a real one on 127.0.0.1; waiting is made short where it is not what is tested.
"""

from __future__ import annotations

import asyncio
import io
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_judge import FakeJudge, chat_answer

from pa_harness.errors import ExtraError, JudgeError, RunError
from pa_harness.judging.asking.price import Price
from pa_harness.judging.asking.request import Request
from pa_harness.judging.asking.server import JudgeServer, NoAnswer, Patience
from pa_harness.judging.asking.session import Asking, AskingProgress, Tally
from pa_harness.judging.asking.verdicts import Verdict, Verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fake_judge import Script


def request(text: str = "Which?", model: str = "fake") -> Request:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 1}
    return Request("chat", body, "judge", (text,))


def server(fake: FakeJudge, attempts: int = 4, timeout: float = 5.0) -> JudgeServer:
    return JudgeServer(fake.url, None, Patience(timeout, attempts), first_wait=0.01)


def answer_of(
    judge: JudgeServer, *requests: Request, after: float = 0.0
) -> Verdict | list[Verdict]:
    """What the server says, to one or to several at a time; all but the first asked so late."""

    async def late(number: int, each: Request) -> Verdict:
        await asyncio.sleep(after * number)
        return await judge.ask(each, lambda _: None)

    async def all_() -> list[Verdict]:
        async with judge:
            return list(await asyncio.gather(*(late(*each) for each in enumerate(requests))))

    found = asyncio.run(all_())
    return found if len(found) > 1 else found[0]


def failing(times: int, *answer: Any) -> Script:
    """Fails the first so many requests."""
    return lambda number, _: answer if number < times else None  # type: ignore[return-value]


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}, {"error": {"message": "out of order"}}),
        (503, {}, b"<html>busy</html>"),
        (429, {}, {"error": {"message": "slow down"}}),
        (429, {"Retry-After": "0.05"}, {"error": {"message": "slow down"}}),
        (429, {"retry-after-ms": "50"}, {"error": {"message": "slow down"}}),
        (200, {}, b"not JSON at all"),
        (200, {}, {"choices": []}),
        (200, {"Content-Type": "text/html"}, b"<html>welcome</html>"),
    ],
    ids=lambda a: f"{a[0]} {a[1] or a[2]}"[:30],
)
def test_it_asks_again(answer: tuple[Any, ...]) -> None:
    with FakeJudge(failing(2, *answer)) as fake:
        found = answer_of(server(fake), request())
        assert found.completion["text"] == "m"
        assert found.answered_by == "fake"
        assert fake.requests == 3


def test_it_gives_up_with_the_last_reason(caplog: pytest.LogCaptureFixture) -> None:
    """Minutes may pass until then: it says once that there is trouble, not at every attempt."""
    with FakeJudge(failing(99, 500, {}, {"error": {"message": "out of order"}})) as fake:
        with pytest.raises(NoAnswer, match=r"no answer in 4 attempts; .*500.*out of order"):
            answer_of(server(fake), request())
        assert fake.requests == 4
    (told,) = [text for text in caplog.messages if text.startswith("The judge gave no answer")]
    assert "(attempt 1 of 4): status 500" in told
    assert "out of order" in told
    assert told.endswith("It is asked again.")


def test_a_slow_server_is_asked_again() -> None:
    def script(number: int, _: str) -> None:
        if number < 2:
            time.sleep(1.0)

    with FakeJudge(script) as fake:
        judge = server(fake, timeout=0.3)
        assert answer_of(judge, request()).completion["text"] == "m"
        assert fake.requests == 3


def test_a_rate_limit_holds_for_all() -> None:
    """One is told to wait; the others do not ask before the time, nor does waiting use attempts."""
    times: list[float] = []

    def script(number: int, _: str) -> tuple[int, dict[str, str], Any] | None:
        times.append(time.monotonic())
        return (429, {"Retry-After": "0.5"}, {}) if number < 1 else None

    with FakeJudge(script) as fake:
        answer_of(server(fake, attempts=1), request("a"), request("b"), after=0.2)
    assert len(times) == 3
    assert min(times[1:]) - times[0] >= 0.5


def test_retry_after_may_be_a_date() -> None:
    times: list[float] = []

    def script(number: int, _: str) -> tuple[int, dict[str, str], Any] | None:
        times.append(time.time())
        then = formatdate(times[0] + 2, usegmt=True)  # whole seconds: at least 1 from now
        return (503, {"Retry-After": then}, {}) if number < 1 else None

    with FakeJudge(script) as fake:
        answer_of(server(fake), request())
    assert times[1] - times[0] >= 0.9


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((401, {}, {"error": {"message": "no key"}}), r"refuses: status 401: .*no key.*wants a va"),
        ((403, {}, {}), "The key may not use this model"),
        ((404, {}, {"error": {"message": "no such model"}}), "Check --base_url .* --judge_model"),
        ((501, {}, b"Unsupported method"), "refuses: status 501: .*Check --base_url"),
        (
            (429, {}, {"error": {"message": "pay", "code": "insufficient_quota"}}),
            "There is no credit left on this account",
        ),
        ((429, {"Retry-After": "86400"}, {}), "asks to wait 24.0 hours"),
    ],
    ids=["401", "403", "404", "501", "quota", "a day"],
)
def test_what_would_be_the_same_for_all_ends_it(answer: tuple[Any, ...], text: str) -> None:
    with FakeJudge(failing(99, *answer)) as fake:
        with pytest.raises(JudgeError, match=text):
            answer_of(server(fake), request())
        assert fake.requests == 1


def test_a_request_that_is_too_long_is_its_own_failure() -> None:
    with FakeJudge(failing(1, 400, {}, {"error": {"message": "too long"}})) as fake:
        judge = server(fake)
        with pytest.raises(NoAnswer, match=r"status 400: .*too long"):
            answer_of(judge, request())
        assert answer_of(judge, request()).completion["text"] == "m"


def test_nobody_is_there() -> None:
    with FakeJudge() as fake:
        judge = server(fake)
    with pytest.raises(JudgeError, match=r"cannot be reached: .*Is it running"):
        answer_of(judge, request())


class Session:
    """Asking with made-up verdicts: an answer is one where its text is m or M."""

    def __init__(self, folder: Path, fake: FakeJudge) -> None:
        self.kept = Verdicts(folder / "verdicts.sqlite")
        self.server = server(fake)
        self.stream = io.StringIO()

    def ask(self, count: int, concurrency: int = 8, **more: Any) -> Tally:
        requests = {
            each.key(self.server.base_url): each
            for each in (request(f"question {number}") for number in range(count))
        }
        missing = {key: each for key, each in requests.items() if self.kept.get(key) is None}
        asking = Asking(self.server, self.kept, is_verdict, AskingProgress(self.stream))
        return asking.ask(missing, Price(0.0, 0.0), concurrency, **more)


def is_verdict(_: Request, completion: Mapping[str, object]) -> bool:
    return completion["text"] in ("m", "M")


def test_unparseable_answers_are_never_kept(tmp_path: Path) -> None:
    """And are asked again by the next session, but those that parsed are not."""

    def script(number: int, prompt: str) -> tuple[int, dict[str, str], Any] | None:
        bad = prompt.endswith("3") and not fixed
        return (200, {}, chat_answer(prompt, "fake", text="Both are fine.")) if bad else None

    fixed: list[bool] = []
    with FakeJudge(script) as fake:
        session = Session(tmp_path, fake)
        tally = session.ask(20)
        assert (tally.answered, tally.failed) == (18, 2)
        assert "no verdict in 'Both are fine.' (first token one of ['m', 'M'])" in tally.reasons[0]
        fixed.append(True)
        tally = session.ask(20)
        assert (tally.answered, tally.failed, tally.calls) == (2, 0, 2)
        assert sorted(fake.asked.values()) == [1] * 18 + [2] * 2


def test_a_hopeless_judge_is_not_asked_805_times(tmp_path: Path) -> None:
    with FakeJudge(lambda _, prompt: (200, {}, chat_answer(prompt, "fake", text="?"))) as fake:
        tally = Session(tmp_path, fake).ask(805)
        assert tally.stopped == "20 requests in a row had no verdict"
        assert fake.requests < 20 + 2 * 8


def test_concurrency_is_bounded(tmp_path: Path) -> None:
    with FakeJudge(lambda *_: time.sleep(0.05)) as fake:  # type: ignore[func-returns-value]
        Session(tmp_path, fake).ask(60, concurrency=5)
        assert 1 < fake.most <= 5


def test_progress_says_what_is_left(tmp_path: Path) -> None:
    with FakeJudge() as fake:
        session = Session(tmp_path, fake)
        session.ask(30)
    assert "30 of 30 verdicts, $0.00 spent" in session.stream.getvalue()
    stream = io.StringIO()
    progress = AskingProgress(stream)
    progress._began -= 100
    progress.tell(Tally(805, Price(10, 30), answered=80, failed=1, dollars=0.8), last=True)
    assert "80 of 805 verdicts, 1 failed, $0.80 spent, 0.81/s, 0:14:5" in stream.getvalue()
    assert "left, about $7.24 more" in stream.getvalue()


def test_an_error_that_ends_it_loses_nothing(tmp_path: Path) -> None:
    """Answers that are on their way when one request shows that the key is bad are kept."""

    def script(number: int, _: str) -> tuple[int, dict[str, str], Any] | None:
        if number == 20:
            return 401, {}, {}
        time.sleep(0.05)
        return None

    with FakeJudge(script) as fake:
        session = Session(tmp_path, fake)
        with pytest.raises(JudgeError, match="wants a valid key"):
            session.ask(100)
        paid = sum(fake.answered.values())
        session.server = server(fake)
        assert session.ask(100).calls == 100 - paid


def test_verdicts_need_a_place(tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("this is a text that is long enough to be none" * 20)
    with pytest.raises(RunError, match=r"text.sqlite cannot be used to keep verdicts"):
        Verdicts(tmp_path / "text.sqlite")


def test_two_processes_may_write(tmp_path: Path) -> None:
    first, second = (Verdicts(tmp_path / "v.sqlite") for _ in range(2))
    first.put("a", Verdict({"text": "m"}, "fake", 3, 1))
    second.put("b", Verdict({"text": "M"}, "fake", 4, 1))
    assert second.get("a") == Verdict({"text": "m"}, "fake", 3, 1)
    assert first.get("b") == Verdict({"text": "M"}, "fake", 4, 1)
    assert first.get("c") is None


def test_the_client_is_an_extra(fake: FakeJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ExtraError, match=r"^Judging needs the extra 'alpaca', .*\[alpaca\]'\.$"):
        server(fake)
