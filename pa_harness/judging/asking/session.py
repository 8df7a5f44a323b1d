"""Ask a judge what it has not answered yet: many at once, each answer kept as it comes.

An answer is paid for, whatever is in it: its text is on the disk before anything is made of it.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from pa_harness.errors import JudgeError, RunError
from pa_harness.judging.asking.price import tokens_of
from pa_harness.judging.asking.reply import shown, tokens_taken
from pa_harness.judging.asking.server import NoAnswer, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TextIO

    from pa_harness.judging.asking.price import Price
    from pa_harness.judging.asking.request import Request
    from pa_harness.judging.asking.server import JudgeServer
    from pa_harness.judging.asking.verdicts import Verdict, Verdicts

    IsVerdict = Callable[[Request, Mapping[str, object]], bool]
    UnderWay = dict[asyncio.Task[Verdict], tuple[str, Request]]

_HOPELESS = 20  # requests in a row without a verdict, after which nothing more is asked
_EVERY_TERMINAL, _EVERY_LINE = 0.2, 15.0  # seconds between two reports


@dataclass
class Tally:
    """How far it has come."""

    calls: int
    price: Price
    answered: int = 0
    failed: int = 0
    dollars: float = 0.0  # 0 where the price is not known
    reasons: list[str] = field(default_factory=list)  # of failures, the first few
    failed_keys: set[str] = field(default_factory=set)
    stopped: str = ""  # why not everything was asked

    def __str__(self) -> str:
        """Counts and money."""
        text = f"{self.answered} of {self.calls} verdicts"
        if self.failed:
            text += f", {self.failed} failed"
        if self.price.prompt is not None:
            text += f", ${self.dollars:.2f} spent"
        return text


class AskingProgress:
    """One line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._live = stream, stream.isatty()
        self._began = self._told = time.monotonic()

    def tell(self, tally: Tally, *, last: bool = False) -> None:
        """Report, if the last report is long enough ago."""
        now = time.monotonic()
        every = _EVERY_TERMINAL if self._live else _EVERY_LINE
        if not last and now - self._told < every:
            return
        self._told = now
        line = str(tally) + self._left(tally, now - self._began)
        if not self._live:
            self._stream.write(f"{line}\n")
            return
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r{line[:width]:<{width}}" + ("\n" if last else ""))
        self._stream.flush()

    def say(self, text: str) -> None:
        """A line of its own."""
        self._stream.write(f"\n{text}\n" if self._live else f"{text}\n")
        self._stream.flush()

    def _left(self, tally: Tally, seconds: float) -> str:
        done = tally.answered + tally.failed
        if not done or not seconds:
            return ""
        left = timedelta(seconds=round((tally.calls - done) * seconds / done))
        text = f", {done / seconds:.3g}/s, {left} left"
        if tally.answered and tally.price.prompt is not None:
            text += f", about ${tally.dollars / tally.answered * (tally.calls - done):.2f} more"
        return text


class Asking:
    """One session with one judge."""

    def __init__(
        self, server: JudgeServer, kept: Verdicts, is_verdict: IsVerdict, progress: AskingProgress
    ) -> None:
        self._server, self._kept = server, kept
        self._is_verdict, self._progress = is_verdict, progress
        self._in_a_row = 0  # failures

    def ask(
        self,
        requests: Mapping[str, Request],
        price: Price,
        concurrency: int,
        max_cost: float | None = None,
    ) -> Tally:
        """Ask all of them, and keep what comes.

        Args:
            requests: by key.
            price: of tokens.
            concurrency: requests under way at the same time.
            max_cost: dollars that this session may take; nothing is begun that could go over it.

        Raises:
            JudgeError: the judge cannot be asked. What came is kept.
            KeyboardInterrupt: what was under way has come to its end; at a second Ctrl-C at once.
        """
        tally = Tally(len(requests), price)
        asyncio.run(self._ask_all(iter(requests.items()), tally, concurrency, max_cost))
        return tally

    async def _ask_all(
        self,
        left: Iterator[tuple[str, Request]],
        tally: Tally,
        concurrency: int,
        max_cost: float | None,
    ) -> None:
        under_way: UnderWay = {}
        async with self._server:
            try:
                while True:
                    while len(under_way) < concurrency and not tally.stopped:
                        following = next(left, None)
                        if following is None:
                            break
                        if self._too_dear(following[1], under_way, tally, max_cost):
                            tally.stopped = f"--max_cost {max_cost:g} is reached"
                            break
                        task = asyncio.ensure_future(self._one(*following, tally))
                        under_way[task] = following
                    if not under_way:
                        break
                    done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        self._take(task, *under_way.pop(task), tally)
            except BaseException:
                await self._keep_what_is_under_way(under_way, tally)
                raise
            finally:
                self._progress.tell(tally, last=True)

    async def _one(self, key: str, request: Request, tally: Tally) -> Verdict:
        def arrived(text: str) -> None:
            self._kept.put_answer(key, text)
            tally.dollars += tally.price.of(*tokens_taken(text, tokens_of(request))) or 0.0

        return await self._server.ask(request, arrived)

    def _take(self, task: asyncio.Task[Verdict], key: str, request: Request, tally: Tally) -> None:
        """Make a verdict of an answer, or keep why there is none."""
        try:
            verdict = task.result()
        except NoAnswer as error:
            self._fail(key, str(error), tally)
        else:
            if self._is_verdict(request, verdict.completion):
                self._kept.put(key, verdict)
                tally.answered += 1
                self._in_a_row = 0
            else:
                self._fail(key, f"no verdict in {shown(verdict.completion)}", tally)
        self._progress.tell(tally)
        if self._in_a_row >= _HOPELESS and not tally.stopped:
            tally.stopped = f"{self._in_a_row} requests in a row had no verdict"

    def _fail(self, key: str, reason: str, tally: Tally) -> None:
        reason = self._server.clear(reason)
        self._kept.put_failure(key, reason)
        tally.failed += 1
        tally.failed_keys.add(key)
        tally.reasons = [*tally.reasons[:4], reason]
        self._in_a_row += 1

    async def _keep_what_is_under_way(self, under_way: UnderWay, tally: Tally) -> None:
        """Answers that are on their way are paid for: wait for them, begin no others."""
        self._server.stop()
        waiting = [task for task in under_way if not task.done()]
        if waiting:
            self._progress.say(
                f"{len(waiting)} answers may be on their way, and paid for: waiting "
                f"{self._server.patience.timeout:g} seconds at most. Ctrl-C again leaves them."
            )
            await asyncio.wait(waiting)
        for task, (key, request) in under_way.items():
            with suppress(NoAnswer, Stopped, JudgeError, RunError, asyncio.CancelledError):
                verdict = task.result()
                if self._is_verdict(request, verdict.completion):
                    self._kept.put(key, verdict)
                    tally.answered += 1

    def _too_dear(
        self, request: Request, under_way: UnderWay, tally: Tally, max_cost: float | None
    ) -> bool:
        if max_cost is None:
            return False
        open_requests = [request, *(each for _, each in under_way.values())]
        bound = sum(tally.price.of(*tokens_of(each)) or 0.0 for each in open_requests)
        return tally.dollars + bound > max_cost
