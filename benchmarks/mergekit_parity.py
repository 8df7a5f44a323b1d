"""λ inside lm-eval against mergekit's merge on disk: same pair, same answers?

``python -m benchmarks.mergekit_parity [--lam 0.3] [--limit 16]``
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from benchmarks.demo.data import TASKS, demo_tasks
from benchmarks.support.measure import measured
from benchmarks.support.mergekit_environment import MERGEKIT, mergekit_python
from benchmarks.support.places import add_data, cache_folder, working_directory
from benchmarks.support.real_pair import add_options, real_pair
from benchmarks.support.report import publish, table
from pa_harness.models.hf import PartiallyAdaptedLM

if TYPE_CHECKING:
    from benchmarks.demo.pair import Pair

_COMMON = {"dtype": "float32", "device": "cpu", "batch_size": 1}

Answers = dict[str, list[list[float]]]  # task -> document -> log-likelihoods


def main(given: argparse.Namespace) -> None:
    """Measure, and publish the table."""
    pair = real_pair(given)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as name:
        folder = Path(name)
        tasks, manager = _tasks(given, pair, folder)
        merged = str(folder / "merged")
        worker = ("benchmarks.support.mergekit_worker", "merge", pair.base, pair.instruct)
        measured(*worker, str(given.lam), "float32", merged, python=mergekit_python())
        ours = PartiallyAdaptedLM(
            pretrained=pair.base, instruct=pair.instruct, lam=given.lam, **_COMMON
        )
        theirs = HFLM(pretrained=merged, tokenizer=pair.instruct, **_COMMON)
        weights = _weight_difference(ours.model, theirs.model)
        with working_directory(given.data):
            found = [_answers(lm, tasks, manager, given.limit) for lm in (ours, theirs)]
    rows = [_row(task, found[0][task], found[1][task]) for task in sorted(found[0])]
    total = [[docs for task in sorted(answers) for docs in answers[task]] for answers in found]
    rows.append(_row("all", *total))
    head = ("task", "documents", "log-likelihoods", "max difference", "of", "same choice")
    text = "\n\n".join(
        [
            "; ".join(pair.description.splitlines()) + ".",
            f"λ = {given.lam}: `--model partially_adapted` against mergekit {MERGEKIT} (linear, "
            f"weights {1 - given.lam:g} and {given.lam:g}, dtype float32) loaded by `--model hf`; "
            f"both fp32, batch size 1. Largest difference of a weight: {weights:.2g}. "
            "Log-likelihoods in nats; “of” is the mean size of a log-likelihood.",
            table(head, rows),
        ]
    )
    if given.publish:
        command = f"python -m benchmarks.mergekit_parity --lam {given.lam} --limit {given.limit}"
        publish("mergekit_parity", text, command=command)
    else:
        print(text)


def _tasks(given: argparse.Namespace, pair: Pair, folder: Path) -> tuple[list[str], TaskManager]:
    """The demo's local tasks, or the built-in ones that were named."""
    if given.tasks:
        return given.tasks.split(","), TaskManager()
    include = demo_tasks(pair, folder / "tasks")
    return list(TASKS), TaskManager(include_defaults=False, include_path=[str(include)])


def _answers(lm: Any, tasks: list[str], manager: TaskManager, limit: int) -> Answers:
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    results: Any = simple_evaluate(
        model=lm,
        tasks=tasks,
        task_manager=manager,
        limit=limit,
        log_samples=True,
        bootstrap_iters=0,
    )
    return {
        task: [[response[0][0] for response in sample["resps"]] for sample in samples]
        for task, samples in results["samples"].items()
    }


@torch.no_grad()
def _weight_difference(ours: torch.nn.Module, theirs: torch.nn.Module) -> float:
    others = dict(theirs.named_parameters())
    found = dict(ours.named_parameters())
    if found.keys() != others.keys():
        raise SystemExit(f"different parameters: {sorted(found.keys() ^ others.keys())}")
    return max(float((value - others[name]).abs().max()) for name, value in found.items())


def _row(label: str, ours: list[list[float]], theirs: list[list[float]]) -> list[str]:
    both = [(a, b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)]
    choices = [(x.index(max(x)), y.index(max(y))) for x, y in zip(ours, theirs, strict=True)]
    same = sum(a == b for a, b in choices)
    return [
        label,
        str(len(ours)),
        str(len(both)),
        f"{max(abs(a - b) for a, b in both):.1e}",
        f"{sum(abs(a) for a, _ in both) / len(both):.1f}",
        f"{same}/{len(choices)}",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lam", type=float, default=0.3)
    parser.add_argument("--limit", type=int, default=16, help="documents of a task")
    parser.add_argument("--tasks", help="built-in tasks instead of the demo's, a,b,c")
    add_data(parser)
    parser.add_argument("--no-publish", dest="publish", action="store_false", help="print only")
    add_options(parser)
    main(parser.parse_args())
