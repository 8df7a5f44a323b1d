"""Summary, choice and report of a million samples: ``python -m benchmarks.scale [SAMPLES]``.

A made-up run folder (11 λ, 9 tasks, values by document, sample logs of 1 kB a line) in a temporary
place; wall time and largest memory of each command in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.support.report import publish, table
from pa_harness.runs.documents import write_documents
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.samples import DocumentValues
from pa_harness.runs.scores import Score
from pa_harness.storage import write_json

_LAMS = [number / 10 for number in range(11)]
_TASKS = [f"task_{number}" for number in range(9)]
_PEAK = (
    "import resource, sys; from pa_harness.cli.main import main; code = main(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
)


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


def main() -> None:
    """Make the run, time the commands, write the table."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    rows = []
    with tempfile.TemporaryDirectory() as place:
        make_run(Path(place), samples // len(_LAMS) // len(_TASKS))
        for verb in ("summary", "choose", "report"):
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-c", _PEAK, verb, place],
                capture_output=True,
                text=True,
                check=True,
            )
            seconds = time.monotonic() - began
            memory = int(done.stderr.split()[-1]) / 1e6
            rows.append([verb, f"{seconds:.1f}", f"{memory:.2f}"])
    head = ["command", "wall s", "peak RSS GB"]
    text = f"{samples:,} samples: {len(_LAMS)} λ, {len(_TASKS)} tasks.\n\n{table(head, rows)}"
    publish("scale", text, command="python -m benchmarks.scale")


if __name__ == "__main__":
    main()
