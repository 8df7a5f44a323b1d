"""`pa-harness compare` of two evaluations of a million documents.

``python -m benchmarks.compare [DOCUMENTS]``: made-up documents in the shapes of a suite (questions
with four options, five yes-no questions on a passage, worked answers), 50 tasks, 0-shot, both
folders written by lm-eval's own tracker. The whole command, imports included.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lm_eval.loggers.evaluation_tracker import EvaluationTracker

from benchmarks.support.report import publish, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = ("options",) * 34 + ("passage",) * 10 + ("worked",) * 6
_PASSAGE = 5  # questions on one
_WORDS = np.array([a + b + c for a, b, c in product("bdfglmnprst", ("a", "ei", "o"), "dklmnrst")])
_ROUNDS = 3


def make_folders(place: Path, documents: int) -> list[Path]:
    """Two models' results and sample logs, of the same documents in `_KINDS`."""
    folders = [place / name for name in ("first", "other")]
    random = np.random.default_rng(0)
    tasks = {f"{kind}_{number}": kind for number, kind in enumerate(_KINDS)}
    right = {task: random.random((2, documents // len(tasks))) < [[0.6], [0.61]] for task in tasks}
    for side, folder in enumerate(folders):
        tracker = EvaluationTracker(output_path=str(folder))
        tracker.general_config_tracker.model_name = f"made/up-{side}"
        tracker.general_config_tracker.model_name_sanitized = f"made__up-{side}"
        means = {task: {"acc,none": float(found[side].mean())} for task, found in right.items()}
        tracker.save_results_aggregated(
            {
                "results": {task: {"alias": task, **each} for task, each in means.items()},
                "configs": {task: {"task": task, "metadata": {"version": 1.0}} for task in tasks},
                **{"versions": dict.fromkeys(tasks, 1.0), "n-shot": dict.fromkeys(tasks, 0)},
                "higher_is_better": {task: {"acc": True} for task in tasks},
                **{"config": {"model": "hf", "model_args": {}}, "date": 1.0},
            },
            {},
        )
        for number, (task, kind) in enumerate(tasks.items()):
            told: Any = _samples(kind, right[task][side].tolist(), np.random.default_rng(number))
            tracker.save_results_samples(task, told)
    return folders


def _samples(kind: str, right: list[bool], random: np.random.Generator) -> Iterator[dict[str, Any]]:
    """As `lm_eval.evaluator.evaluate` makes them, in its order."""
    passage = ""
    for number, hit in enumerate(right):
        if kind == "passage" and number % _PASSAGE == 0:
            passage = _text(random, 100)
        document: dict[str, Any] = {
            "question": _text(random, 30),
            "passage": passage,
            "number": number,
        }
        asked = f"{passage}\n\nQuestion: {document['question']}\nAnswer:"
        count = {"options": 4, "passage": 2, "worked": 1}[kind]
        if kind == "worked":
            document["answer"] = _text(random, 60)
            arguments: list[Any] = [(asked, {"until": ["\n\n"], "do_sample": False})]
            answers: list[Any] = [_text(random, 60)]
        else:
            document["choices"] = [_text(random, 5) for _ in range(count)]
            arguments = [(asked, f" {choice}") for choice in document["choices"]]
            answers = [(-10 * random.random(), False) for _ in range(count)]
        yield {
            **{"doc_id": number, "doc": document, "target": 0, "arguments": arguments},
            **{"resps": [[each] for each in answers], "filtered_resps": answers},
            **{"filter": "none", "metrics": ["acc"]},
            "doc_hash": _hash(json.dumps(document, indent=2, ensure_ascii=False)),
            **{"prompt_hash": _hash(asked), "target_hash": _hash("0"), "acc": float(hit)},
        }


def _text(random: np.random.Generator, words: int) -> str:
    return " ".join(_WORDS[random.integers(len(_WORDS), size=words)].tolist())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """Make the folders, time the command, write the table."""
    documents = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as place:
        folders = make_folders(Path(place), documents)
        logs = [log for folder in folders for log in folder.rglob("samples_*.jsonl")]
        size = sum(log.stat().st_size for log in logs)
        rows = []
        for number in range(_ROUNDS):
            command = [sys.executable, "-m", "pa_harness", "compare", *map(str, folders)]
            before, began = os.times(), time.monotonic()
            subprocess.run(command, capture_output=True, check=True)
            wall, after = time.monotonic() - began, os.times()
            spent = sum(after[2:4]) - sum(before[2:4])
            rows.append([f"round {number + 1}", f"{wall:.1f}", f"{spent:.1f}"])
            print(rows[-1], flush=True)
    publish(
        "compare",
        f"{documents:,} documents of {len(_KINDS)} tasks in each of two folders, {size / 1e9:.1f} "
        f"GB of sample logs together.\n\n{table(['whole command', 'wall s', 'CPU s'], rows)}",
        command="python -m benchmarks.compare",
    )


if __name__ == "__main__":
    main()
