"""Summary, choice and report of a million samples: ``python -m benchmarks.scale [SAMPLES]``.

A made-up run folder (11 λ, 9 tasks, values by document, sample logs of 1 kB a line) in a temporary
place; CPU time, wall time and largest memory of each command in a process of its own. With
``--before CHECKOUT``, an older working tree with its own ``.venv``, that makes its own folder and
takes turns with this one; CPU times are then compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.support.places import REPOSITORY
from benchmarks.support.report import publish, table
from pa_harness.runs.documents import write_documents
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.samples import DocumentValues
from pa_harness.runs.scores import Score
from pa_harness.storage import write_json

_LAMS = [number / 10 for number in range(11)]
_TASKS = [f"task_{number}" for number in range(9)]
_VERBS = ("summary", "choose", "report")
_ROUNDS = 3
_MAKE = """
import sys
from pathlib import Path
from benchmarks.scale import make_run
make_run(Path(sys.argv[1]), int(sys.argv[2]))
"""
_RUN = """
import resource, sys, time
began = time.monotonic()
try:
    from pa_harness.cli.main import main
except ImportError:  # as it was before it had wings
    from pa_harness.cli import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
took = used.ru_utime + used.ru_stime, time.monotonic() - began, used.ru_maxrss / 1e6
print(*took, file=sys.stderr)
sys.exit(code)
"""


def make_run(path: Path, documents: int) -> None:
    """Write scores, values by document and sample logs."""
    folder, random = RunFolder(path), np.random.default_rng(0)
    write_json(folder.provenance_file, {"started": "2026-01-01T00:00:00"})
    scores, units = [], []
    for task in _TASKS:
        ability = random.standard_normal(documents)
        for lam in _LAMS:
            right = ability + 0.3 * random.standard_normal(documents) < 0.3 - (lam - 0.5) ** 2
            values = right.astype(float)
            confidence = random.random(documents)
            category = "instruction" if task == _TASKS[-1] else "knowledge"
            score = Score(task, "acc", "none", float(values.mean()), n=documents, lam=lam)
            scores.append(replace(score, category=category, counts_as=task, main=True))
            columns = {"acc,none": values, "acc_norm,none": values, "hit,options": values}
            columns |= {"confidence,options": confidence, "brier,options": confidence**2}
            numbers = {name: column.tolist() for name, column in columns.items()}
            units.append((lam, task, DocumentValues(list(range(documents)), numbers)))
            _write_log(folder.samples(lam, task), right.tolist())
    write_documents(iter(units), folder.documents_file)
    folder.write_scores(scores)


def _write_log(path: Path, right: list[bool]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arguments = {f"gen_args_{n}": {"arg_0": "x" * 350, "arg_1": f" {n}"} for n in range(2)}
    rest = json.dumps({"arguments": arguments, "target": "0", "filter": "none"})[1:]
    with path.open("w", encoding="utf-8") as file:
        for number, hit in enumerate(right):
            resps = '[[["-1.0", "True"]], [["-2.0", "False"]]]'
            line = f'{{"doc_id": {number}, "resps": {resps}, "acc": {float(hit)}, {rest}'
            file.write(f"{line}\n")


def timed(python: str, checkout: Path, verb: str, run: Path) -> tuple[float, ...]:
    """CPU seconds, wall seconds and gigabytes of one command."""
    done = subprocess.run(
        [python, "-c", _RUN, verb, str(run)],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(map(float, done.stderr.split()[-3:]))


def main() -> None:
    """Make the runs, time the commands in turns, write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("samples", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--before", type=Path)
    asked = parser.parse_args()
    sides = {"now": (sys.executable, REPOSITORY)}
    if asked.before:
        sides["before"] = (str(asked.before / ".venv/bin/python"), asked.before)
    took: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as place:
        for side, (python, checkout) in sides.items():
            documents = asked.samples // len(_LAMS) // len(_TASKS)
            folder = Path(place) / side
            folder.mkdir()
            made = [python, "-c", _MAKE, str(folder), str(documents)]
            subprocess.run(made, cwd=checkout, check=True)
        for _ in range(_ROUNDS):
            for verb in _VERBS:
                for side, (python, checkout) in sides.items():
                    each = timed(python, checkout, verb, Path(place) / side)
                    took.setdefault((verb, side), []).append(each)
    rows = []
    for verb in _VERBS:
        cpu, wall, memory = (statistics.median(x) for x in zip(*took[verb, "now"], strict=True))
        cells = [verb, f"{cpu:.1f}", f"{wall:.1f}", f"{memory:.2f}"]
        if asked.before:
            then = statistics.median(each[0] for each in took[verb, "before"])
            cells += [f"{then:.1f}", f"{cpu / then:.2f}"]
        rows.append(cells)
    head = ["command", "CPU s", "wall s", "peak RSS GB"]
    text = f"{asked.samples:,} samples: {len(_LAMS)} λ, {len(_TASKS)} tasks; medians of {_ROUNDS}."
    command = "python -m benchmarks.scale"
    if asked.before:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=asked.before,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        head += ["CPU s before", "now / before"]
        text += f" “Before” is commit {commit}, in turns with this one."
        command += " --before CHECKOUT"
    publish("scale", f"{text}\n\n{table(head, rows)}", command=command)


if __name__ == "__main__":
    main()
