"""CPU seconds until `pa-harness sweep` says its first word, or what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.support.report import table
from benchmarks.support.synthetic import far_pair

if TYPE_CHECKING:
    from collections.abc import Sequence

_TICKS = os.sysconf("SC_CLK_TCK")
_READY = " units are done."  # the model is loaded, prompts are rendered: evaluation begins


@dataclass(frozen=True)
class Said:
    """When a command spoke.

    Attributes:
        first: CPU seconds (user and system, of it and its children) to its first word.
        end: to its end, or to the beginning of the evaluation.
        message: the last line, or that line.
    """

    first: float
    end: float
    message: str


def first_words(before: Path | None, task_folder: Path) -> str:
    """A table of six mistakes and a good command.

    Args:
        before: a checkout of another version, to stand beside this one.
        task_folder: with the YAML of a task ``benchmark_tiny``.
    """
    checkouts = [Path(__file__).parents[2], *([before] if before else [])]
    rows = []
    for name, words in _commands(task_folder).items():
        said = [_run(words, checkout) for checkout in checkouts]
        cells = [f"{each.first:.1f} / {each.end:.1f}" for each in reversed(said)]
        rows.append((name, *cells, said[0].message[:90]))
    heads = ["CPU s to the first word / to the end"]
    if before:
        heads = ["before: CPU s to the first word / to the end", "now"]
    return table(("`pa-harness sweep` with", *heads, "says"), rows)


def _commands(task_folder: Path) -> dict[str, list[str]]:
    model, other = far_pair()
    pair = ["--model_args", f"pretrained={model},instruct={other}"]
    task = ["--tasks", "benchmark_tiny", "--include_path", str(task_folder)]
    lam = ["--lam", "0,1"]
    return {
        "a misspelt option": ["--lamm", "0,1", *pair, *task],
        "a grid that misses its end": ["--lam", "0:1:0.3", *pair, *task],
        "a misspelt model argument": [*lam, *pair[:1], f"{pair[1]},lamm=3", *task],
        "a missing `instruct=`": [*lam, "--model_args", f"pretrained={model}", *task],
        "a wrong path": [*lam, "--model_args", f"pretrained={model},instruct=/no/such", *task],
        "a misspelt task": [*lam, *pair, "--tasks", "arc_eazy"],
        "nothing wrong, to the first evaluation": [*lam, *pair, *task],
    }


def _run(words: Sequence[str], checkout: Path) -> Said:
    """Start it in a checkout, whose package comes before any that is installed."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "pa_harness", "sweep", *words, "-o", f"{place}/run"]
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        # The start-up hook imports the package, so that the working directory comes too late.
        environment = {**os.environ, **offline, "PYTHONPATH": str(checkout)}
        with subprocess.Popen(
            [*command, "--no_report"],
            cwd=checkout,
            env=environment,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            first, line = 0.0, ""
            for line in filter(str.strip, process.stderr or ()):
                first = first or _cpu(process.pid)
                if _READY in line:
                    end = _cpu(process.pid)
                    process.kill()
                    return Said(first, end, line.strip())
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        return Said(first, usage.ru_utime + usage.ru_stime, line.strip())


def _cpu(process: int) -> float:
    """CPU seconds of a process that runs, and of its children that have ended."""
    text = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2]
    return sum(map(int, text.split()[11:15])) / _TICKS
