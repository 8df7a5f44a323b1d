"""What a sweep says while it runs."""

from __future__ import annotations

import io

import pytest

from pa_harness.sweep import progress as progress_room
from pa_harness.sweep.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds and tokens, as they are set."""

    seconds = 0.0
    tokens = 0

    def monotonic(self) -> float:
        return self.seconds

    def pass_(self, seconds: float, tokens: int) -> None:
        self.seconds += seconds
        self.tokens += tokens


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress_room, "time", found)
    return found


def steps(stream: io.StringIO, clock: Clock) -> None:
    """A session that finds one unit of six done, and does two."""
    progress = Progress(stream)
    sizes = {"arc": 10, "a_long_name": 30}
    clock.pass_(100, 5000)  # before the sweep
    progress.plan((0.0, 0.5, 1.0), sizes, {(0.0, "arc")}, lambda: clock.tokens)
    progress.start_unit(0.5, "arc", 40)
    for _ in range(10):
        clock.pass_(0.5, 20)
        progress.answered()
    clock.pass_(3, 0)
    progress.end_unit("acc 0.5000")
    progress.start_unit(0.5, "a_long_name", 60)
    for _ in range(20):
        clock.pass_(0.5, 40)
        progress.answered()
    clock.pass_(2, 100)
    progress.end_unit("acc 0.6000")
    progress.close()


def test_plain_lines_where_there_is_no_terminal(clock: Clock) -> None:
    """200 tokens in 8 s, then 900 in 12 s; left are 8 s of arc and twice 12 s of the other."""
    stream = io.StringIO()
    steps(stream, clock)
    assert stream.getvalue().splitlines() == [
        "2 tasks × 3 λ: 5 units to do, 110 documents. 1 of 6 units are done.",
        "The first unit took 0:00:08; the rest will take about 0:01:20.",
        "λ = 0.5  arc  acc 0.5000  "
        "(2/6 units, 20/120 documents, 25 tokens/s, 0:01:20 left)",  # 8 s + 3 * 30 * 8 s / 10
        "λ = 0.5  a_long_name  acc 0.6000  "
        "(3/6 units, 50/120 documents, 75 tokens/s, 0:00:32 left)",
    ]


def test_the_time_left_is_guessed_by_distinct_tokens_where_they_are_known(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    sizes, distinct = {"arc": 10, "texts": 1000, "done": 5}, {"arc": 400, "texts": 1200}
    progress.plan((0.0, 1.0), sizes, {(0.0, "done"), (1.0, "done")}, None, distinct)
    progress.start_unit(1.0, "arc", 1)
    clock.pass_(4, 0)
    progress.end_unit("acc 0.5000")
    first, second = stream.getvalue().splitlines()[:2]
    plan = "3 tasks × 2 λ: 4 units to do, 2,020 documents, 3,200 distinct tokens. 2 of 6 units"
    assert first == f"{plan} are done."
    assert second == "The first unit took 0:00:04; the rest will take about 0:00:28."  # 4 + 2 · 12


def test_a_grid_that_is_drawn_over_itself_on_a_terminal(clock: Clock) -> None:
    stream = Terminal()
    steps(stream, clock)
    drawings = stream.getvalue().split("\x1b[4F\x1b[J")
    shown = [drawing.splitlines() for drawing in drawings]
    begun = next(lines for lines in shown if "arc            ✓  25%    ·" in lines)
    # A quarter took 5 s, and so it will be 15 s, 20 s at λ = 1, and 180 s for the others.
    assert begun[3] == "1/6 units, 12/120 documents, 40 tokens/s, 0:03:35 left"
    second = next(lines for lines in shown if "a_long_name    ·  33%    ·" in lines)
    # A third took 10 s: 20 s more, 30 s at each of two other λ, and 8 s of arc.
    assert second[3] == "2/6 units, 30/120 documents, 80 tokens/s, 0:01:28 left"
    last = shown[-1]
    assert last[0] == "               0  0.5    1"
    assert last[1] == "arc            ✓    ✓    ·"
    assert last[2] == "a_long_name    ·    ✓    ·"
    assert last[3] == "3/6 units, 50/120 documents, 75 tokens/s, 0:00:32 left"


def test_a_model_that_does_not_say_its_tokens(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.plan((0.0,), {"arc": 10}, set())
    progress.start_unit(0.0, "arc", 10)
    clock.pass_(1, 0)
    progress.end_unit("acc 0.5000")
    assert "(1/1 units, 10/10 documents, 0:00:00 left)" in stream.getvalue()


def test_a_narrow_terminal_is_not_overrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("LINES", "8")
    stream = Terminal()
    progress = Progress(stream)
    tasks = {f"task_with_a_long_name_{n}": 1 for n in range(20)}
    progress.plan((0.0, 0.5, 1.0), tasks, set())
    progress.start_unit(0.0, "task_with_a_long_name_15", 1)
    drawing = stream.getvalue().split("\x1b[J")[-1].splitlines()
    assert len(drawing) <= 7
    assert max(map(len, drawing)) < 30
