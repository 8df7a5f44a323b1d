"""How far a sweep has come: a grid of tasks and λ on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TextIO

_EVERY = 0.2  # seconds between two drawings on a terminal
_UNKNOWN: Mapping[str, int | None] = MappingProxyType({})
_ROWS = 30  # tasks that the grid shows; of more, those near the one at work


@dataclass
class _AtWork:
    """The unit at work."""

    lam: float
    task: str
    requests: int
    began: float
    tokens: int  # that had gone through the model before it
    answered: int = 0

    @property
    def share(self) -> float:
        """How much of it is done, a fraction."""
        return min(self.answered / self.requests, 1.0)


class Progress:
    """Told what is going on, it writes to one stream; it computes nothing that is kept."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._lams: Sequence[float] = ()
        self._sizes: dict[str, int] = {}
        self._cells: dict[tuple[float, str], str] = {}
        self._drawn = time.monotonic()
        self._height = 0
        self._now: _AtWork | None = None
        self._tokens: Callable[[], int] = lambda: 0
        self._rate = ""  # tokens per second of the unit at work, else of the last one
        self._finished: dict[str, list[float]] = {}  # seconds of units of this session, by task
        self._weights: dict[str, int] = {}  # by which a task's time is guessed from others'

    def plan(
        self,
        lams: Sequence[float],
        sizes: dict[str, int],
        done: set[tuple[float, str]],
        tokens: Callable[[], int] | None = None,
        distinct: Mapping[str, int | None] = _UNKNOWN,
    ) -> None:
        """Say what there is to do.

        Args:
            lams: every λ.
            sizes: documents by task.
            done: units that an earlier session finished.
            tokens: gives the number of tokens that went through the model so far, if it is known.
            distinct: of the tasks that are not done, tokens of the prompts at one λ, each that
                begins alike counted once; None or left out where that is not known.
        """
        self._lams, self._sizes = lams, sizes
        self._cells = {(lam, task): "·" for task in sizes for lam in lams}
        self._cells |= dict.fromkeys(done & self._cells.keys(), "✓")
        self._tokens = tokens or self._tokens
        todo = [task for (_, task), cell in self._cells.items() if cell != "✓"]
        known = all(distinct.get(task) for task in todo)
        self._weights = {t: distinct.get(t) or 0 for t in sizes} if todo and known else sizes
        documents = sum(sizes[task] for task in todo)
        named = [_counted(len(sizes), "task"), f"{len(lams)} λ"]
        plan = f"{' × '.join(named)}: {_counted(len(todo), 'unit')} to do, {documents:,} documents"
        if todo and known:
            plan += f", {sum(self._weights[task] for task in todo):,} distinct tokens"
        self.note(f"{plan}. {len(done)} of {len(lams) * len(sizes)} units are done.")

    def note(self, text: str) -> None:
        """One line of text."""
        self._clear()
        self._stream.write(f"{text}\n")
        self._draw()

    def start_unit(self, lam: float, task: str, requests: int) -> None:
        """One task at one λ begins."""
        self._now = _AtWork(lam, task, max(requests, 1), time.monotonic(), self._tokens())
        self._draw()

    def answered(self) -> None:
        """One request of the unit has its answer."""
        if self._now is None:
            return
        self._now.answered += 1
        if self._live and time.monotonic() - self._drawn > _EVERY:
            self._draw()

    def end_unit(self, value: str) -> None:
        """The unit is on the disk; `value` is its score as text."""
        unit = self._now
        if unit is None:
            return
        self._measure(unit)
        seconds, first = time.monotonic() - unit.began, not self._finished
        self._finished.setdefault(unit.task, []).append(seconds)
        self._cells[unit.lam, unit.task], self._now = "✓", None
        left = self._seconds_left()
        if first and left:
            self.note(
                f"The first unit took {_clock(seconds)}; the rest will take about {_clock(left)}."
            )
        if self._live:
            self._draw()
        else:
            self.note(f"λ = {unit.lam:g}  {unit.task}  {value}  ({self._summary()})")

    def close(self) -> None:
        """Leave the last drawing on the screen."""
        self._draw()
        self._height = 0

    def _measure(self, unit: _AtWork) -> None:
        """Tokens per second of the unit so far."""
        seconds, tokens = time.monotonic() - unit.began, self._tokens() - unit.tokens
        if tokens and seconds > 0:
            self._rate = f", {tokens / seconds:.0f} tokens/s"

    def _summary(self) -> str:
        if self._now:
            self._measure(self._now)
        units = sum(cell == "✓" for cell in self._cells.values())
        documents = sum(self._sizes[task] for (_, task), cell in self._cells.items() if cell == "✓")
        if self._now:
            documents += int(self._now.share * self._sizes[self._now.task])
        every = len(self._lams) * sum(self._sizes.values())
        text = f"{units}/{len(self._cells)} units, {documents}/{every} documents{self._rate}"
        left = self._seconds_left()
        return text if left is None else f"{text}, {_clock(left)} left"

    def _seconds_left(self) -> float | None:
        """By what the task took at another λ, else by tokens or documents; None if unknown."""
        spent = {task: sum(all_) / len(all_) for task, all_ in self._finished.items()}
        now = self._now
        gone = time.monotonic() - now.began if now else 0.0
        if now and now.task not in spent and now.share:
            spent[now.task] = gone / now.share
        measured = sum(self._weights[task] for task in spent)
        if not measured:
            return None
        each = sum(spent.values()) / measured
        missing = [task for (_, task), cell in self._cells.items() if cell != "✓"]
        expected = {task: spent.get(task, each * size) for task, size in self._weights.items()}
        left = sum(expected[task] for task in missing)
        return left - min(gone, expected[now.task]) if now else left

    def _draw(self) -> None:
        if not self._live or not self._cells:
            return
        self._clear()
        lines = [*self._grid(), self._summary()]
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()
        self._height, self._drawn = len(lines), time.monotonic()

    def _grid(self) -> list[str]:
        columns, rows = shutil.get_terminal_size()
        tasks = list(self._sizes)
        most = max(1, min(_ROWS, rows - 4))
        first = tasks.index(self._now.task) if self._now else 0
        shown = tasks[max(0, min(first - most // 2, len(tasks) - most)) :][:most]
        width = min(max(len(task) for task in tasks), max(8, columns - 5 * len(self._lams) - 2))
        head = " " * width + "".join(f"{lam:>5g}" for lam in self._lams)
        lines = [head]
        for task in shown:
            cells = "".join(f"{self._cell(lam, task):>5}" for lam in self._lams)
            lines.append(f"{task[:width]:<{width}}{cells}")
        return [line[: columns - 1] for line in lines]

    def _cell(self, lam: float, task: str) -> str:
        if self._now and (lam, task) == (self._now.lam, self._now.task):
            return f"{self._now.share:.0%}"
        return self._cells[lam, task]

    def _clear(self) -> None:
        if self._height:
            self._stream.write(f"\x1b[{self._height}F\x1b[J")  # up, and erase to the end
            self._height = 0


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _clock(seconds: float) -> str:
    """As people read it: 0:01:20."""
    return str(timedelta(seconds=round(seconds)))
