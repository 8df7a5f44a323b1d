"""805 instructions at 11 λ from a judge that fails in all ways, and a process that is killed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_judge import FakeJudge, chat_answer
from judge_data import write_run

from pa_harness.cli.main import main
from pa_harness.runs.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

LAMS = tuple(np.linspace(0, 1, 11).round(1).tolist())
CONCURRENCY = 8  # of killed_judge.py
Answer = tuple[int, dict[str, str], Any]


class Trouble:
    """Of the requests some are limited, broken, garbage, unparseable or slow; each kind seen."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._first: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, number: int, prompt: str) -> Answer | None:
        with self._lock:
            again = prompt in self._first
            self._first.add(prompt)
        if again:  # a request that failed once is answered
            return None
        act: dict[int, tuple[str, Callable[[], Answer | None]]] = {
            11: ("limit", lambda: (429, {"Retry-After": "0.02"}, {"error": {"message": "slow"}})),
            37: ("500", lambda: (500, {}, {"error": {"message": "broken"}})),
            61: ("garbage", lambda: (200, {}, b'{"choices": [{"mess')),
            83: ("unparseable", lambda: (200, {}, unparseable(prompt))),
            89: ("slow", lambda: time.sleep(0.2)),  # type: ignore[func-returns-value]
        }
        kind, answer = act.get(number % 97, ("", lambda: None))
        self.seen.add(kind)
        return answer()


def unparseable(prompt: str) -> dict[str, Any]:
    answer = chat_answer(prompt, "fake")
    answer["choices"][0]["logprobs"] = None
    return answer


def ask(run: Path, fake: FakeJudge, *more: str) -> int:
    at = ("--base_url", fake.url, "--judge_model", "fake", "--yes")
    return main(["judge", str(run), *at, *more])


def judged(run: Path) -> list[tuple[int, int]]:
    """Verdicts, and instructions put to the judge, at each λ."""
    (judge,) = RunFolder(run).judgements()
    whole = [row for row in judge.judgements() if row.subset == "all"]
    return [(row.n_parsed, row.n_judged) for row in whole]


@pytest.mark.slow
def test_805_times_11(tmp_path: Path) -> None:
    """Every request that failed for a while has its verdict; the unparseable ones are next."""
    run = write_run(tmp_path / "run", 805, LAMS, length=10)
    trouble = Trouble()
    with FakeJudge(trouble) as fake:
        assert ask(run, fake) == 3
        assert trouble.seen >= {"limit", "500", "garbage", "unparseable", "slow"}
        found = judged(run)
        lost = 805 * 11 - sum(parsed for parsed, _ in found)
        assert 30 < lost < 200  # the unparseable: one of 97
        assert {put for _, put in found} == {805}
        first = fake.requests
        assert ask(run, fake) == 0
        assert fake.requests - first == lost
        assert judged(run) == [(805, 805)] * 11


@pytest.mark.slow
def test_killed_it_loses_nothing_and_pays_nothing_twice(tmp_path: Path) -> None:
    """kill -9 at random moments; only what was under way at that very moment may be asked again."""
    run = write_run(tmp_path / "run", 805, LAMS[::2], length=10)
    kills = 4
    with FakeJudge(lambda *_: time.sleep(0.02)) as fake:  # type: ignore[func-returns-value]
        script = Path(__file__).parents[1] / "support" / "killed_judge.py"
        command = [sys.executable, str(script), str(run), fake.url, str(kills)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.splitlines()[-1] == str(805 * 6)
        middle = [int(line.split()[-1]) for line in done.stdout.splitlines()[:-1]]
        assert any(0 < count < 805 * 6 for count in middle), "no kill fell into the asking"
        assert sum(fake.answered.values()) <= 805 * 6 + kills * CONCURRENCY
        assert len(fake.asked) == 805 * 6
    assert judged(run) == [(805, 805)] * 6


def test_some_answers_lost_for_good(tmp_path: Path) -> None:
    """They are counted, left out of the rates, and of the differences at every λ."""
    run = write_run(tmp_path / "run", 40, (0.0, 1.0), length=10)

    def script(_: int, prompt: str) -> Answer | None:
        return (200, {}, unparseable(prompt)) if "made@0 7" in prompt else None

    with FakeJudge(script) as fake:
        assert ask(run, fake, "--attempts", "1") == 3
    assert judged(run) == [(39, 40), (40, 40)]
    (judge,) = RunFolder(run).judgements()
    whole = [row for row in judge.judgements() if row.subset == "all"]
    assert [row.n_paired for row in whole] == [39, 39]
    assert [row.lc_absent for row in whole] == [
        "it needs all 805 verdicts; there are 39",
        "it needs all 805 verdicts; there are 40",
    ]
    assert "39 verdicts of 805" in whole[0].comparable


def test_no_verdict_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", 5, (1.0,))
    with FakeJudge(lambda _, prompt: (200, {}, unparseable(prompt))) as fake:
        assert ask(run, fake) == 2
    text = capsys.readouterr().err
    assert "gave no verdict at all in 5 requests" in text
    assert "(no logprobs)" in text
    assert not RunFolder(run).judgements()
