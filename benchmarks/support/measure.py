"""Time, CPU time and memory of a phase of a fresh process. Standard library only; Linux.

The process marks its phases (imports stay outside). Memory is sampled from outside: a thread
inside would wait for the interpreter lock exactly when it matters.
"""

from __future__ import annotations

import contextlib
import gc
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.support.places import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MARK = "PHASES="
_INTERVAL = 0.004  # seconds between two memory samples


@dataclass
class Phase:
    """One measured phase.

    Attributes:
        name: what was done.
        start: monotonic clock, seconds.
        wall: seconds.
        cpu: CPU seconds of the whole process, all threads.
        floor: anonymous memory at the start, bytes.
        anonymous: peak of anonymous memory over `floor`, bytes.
        resident: peak resident memory, file pages included, bytes.
    """

    name: str
    start: float
    wall: float
    cpu: float
    floor: int
    anonymous: int
    resident: int


class Phases:
    """The phases of this process; `emit` hands them to the parent."""

    def __init__(self) -> None:
        self._done: list[Phase] = []

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what is inside the with block."""
        gc.collect()
        floor, _ = _memory("self")
        start, cpu = time.monotonic(), time.process_time()
        yield
        wall, cpu = time.monotonic() - start, time.process_time() - cpu
        anonymous, resident = _memory("self")
        self._done.append(Phase(name, start, wall, cpu, floor, anonymous - floor, resident))

    def emit(self) -> None:
        """Print the phases for `measured`."""
        print(f"\n{_MARK}{json.dumps([asdict(phase) for phase in self._done])}", flush=True)


def measured(module: str, *arguments: str, python: str = sys.executable) -> list[Phase]:
    """Run ``python -m module arguments`` and return its phases with their peaks of memory.

    Raises:
        RuntimeError: it failed; with the end of its output.
    """
    samples: list[tuple[float, int, int]] = []
    with tempfile.TemporaryFile("w+") as output:
        with subprocess.Popen(
            [python, "-m", module, *arguments], cwd=REPOSITORY, stdout=output, stderr=output
        ) as process:
            while process.poll() is None:
                with contextlib.suppress(OSError, KeyError):  # it may just have ended
                    samples.append((time.monotonic(), *_memory(str(process.pid))))
                time.sleep(_INTERVAL)
        output.seek(0)
        text = output.read()
    marked = [line for line in text.splitlines() if line.startswith(_MARK)]
    if process.returncode or not marked:
        raise RuntimeError(f"{module} {' '.join(arguments)} failed:\n{text[-3000:]}")
    phases = [Phase(**entry) for entry in json.loads(marked[-1].removeprefix(_MARK))]
    for phase in phases:
        for when, anonymous, resident in samples:
            if phase.start <= when <= phase.start + phase.wall:
                phase.anonymous = max(phase.anonymous, anonymous - phase.floor)
                phase.resident = max(phase.resident, resident)
    return phases


def medians(rounds: Sequence[Phase]) -> Phase:
    """The median of every figure over repeated measurements of one phase."""
    return Phase(
        rounds[0].name,
        0.0,
        median(phase.wall for phase in rounds),
        median(phase.cpu for phase in rounds),
        int(median(phase.floor for phase in rounds)),
        int(median(phase.anonymous for phase in rounds)),
        int(median(phase.resident for phase in rounds)),
    )


def _memory(process: str) -> tuple[int, int]:
    """Anonymous and resident memory, bytes."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    values = dict(line.split(":", 1) for line in lines if line.startswith(("RssAnon", "VmRSS")))
    return int(values["RssAnon"].split()[0]) * 1024, int(values["VmRSS"].split()[0]) * 1024
