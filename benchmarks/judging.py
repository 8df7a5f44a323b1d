"""805 verdicts from an instant judge on this machine: ``python -m benchmarks.judging``.

The judge is tests/support/fake_judge.py in a process of its own; the command is the user's, with
its imports. Target: 20 seconds. A second run finds every verdict kept.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

from benchmarks.support.places import REPOSITORY
from benchmarks.support.report import publish, table

_COUNT = 805
_WORDS = ("river", "copper", "lantern", "violin", "harbor", "meadow", "engine", "pepper")
_MEAN_WORDS = {"reference": 300, "mine": 160}  # about 2,000 and 1,000 characters, as published


def main(rounds: int) -> None:
    """Measure, and write the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side in _MEAN_WORDS:
            (folder / f"{side}.json").write_text(json.dumps(_outputs(side)))
        judge = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "tests" / "support" / "fake_judge.py")],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            url = str(judge.stdout and judge.stdout.readline().strip())
            measured = [_round(folder, url, number) for number in range(rounds)]
        finally:
            judge.terminate()
    head = ["", "wall s (min-max)", "CPU s", "requests"]
    rows = []
    for place, label in enumerate(("805 verdicts asked for", "again, all of them kept")):
        walls, cpus, asked = zip(*(pair[place] for pair in measured), strict=True)
        wall = f"{median(walls):.1f} ({min(walls):.1f}-{max(walls):.1f})"
        rows.append([label, wall, f"{median(cpus):.1f}", asked[0]])
    text = (
        f"Medians of {rounds} rounds of the whole command, imports included, 16 requests at a "
        f"time, every verdict on the disk before the next. Target: 20 s.\n\n{table(head, rows)}"
    )
    publish("judging", text, command=f"python -m benchmarks.judging --rounds {rounds}")


def _outputs(side: str) -> list[dict[str, str]]:
    draw = random.Random(side)
    return [
        {
            "instruction": f"Say something of number {number}.",
            "output": " ".join(draw.choices(_WORDS, k=draw.randint(1, 2 * _MEAN_WORDS[side]))),
            "generator": side,
        }
        for number in range(_COUNT)
    ]


def _round(folder: Path, url: str, number: int) -> list[tuple[float, float, int]]:
    """Wall and CPU seconds and requests of the first run and of the second."""
    command = [sys.executable, "-m", "pa_harness", "judge", str(folder / "mine.json"), "--yes"]
    command += ["--base_url", url, "--judge_model", "fake"]
    command += ["--reference", str(folder / "reference.json"), "-o", str(folder / str(number))]
    found = []
    for _ in range(2):
        wall, cpu = time.monotonic(), _cpu()
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        asked = _COUNT if f"To ask: {_COUNT} calls" in done.stdout else 0
        found.append((time.monotonic() - wall, _cpu() - cpu, asked))
    return found


def _cpu() -> float:
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args().rounds)
