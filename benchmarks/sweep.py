"""A sweep of 11 λ against the shell loops that it replaces: ``python -m benchmarks.sweep``.

The loops are what a user writes without a sweep: one `lm_eval run` per λ with our model type, or
one merge to disk with mergekit and one `lm_eval run --model hf` on it. The pair is tiny (so that
what is measured are the fixed costs, which do not grow with the model), tasks are three of 100
documents. ``--base`` and ``--instruct`` name another pair, ``--documents`` another number.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.mergekit_environment import MERGEKIT, mergekit_python
from benchmarks.places import REPOSITORY
from benchmarks.report import publish, table
from pa_harness.grid import parse_lams

sys.path.insert(0, str(REPOSITORY / "tests"))
from families import make_pair
from toy import write_tasks

_LAMS = "0:1:0.1"
_TASKS = "toy_group,toy_answer"
_DOCUMENTS = 100
Cost = tuple[float, float]  # wall and CPU seconds
Scores = dict[float, dict[str, float]]


def run(command: list[str], folder: Path) -> Cost:
    """Wall and CPU seconds of a command; CPU over all its processes."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = os.environ | {"HF_DATASETS_CACHE": str(folder / "cache")}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu


def total(costs: list[Cost]) -> Cost:
    """Of several commands."""
    return sum(wall for wall, _ in costs), sum(cpu for _, cpu in costs)


def numbers(file: Path) -> dict[str, float]:
    """Every number of one of lm-eval's results files."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return {
        f"{task} {key}": value
        for task, values in content["results"].items()
        for key, value in values.items()
        if "," in key
    }


class Arms:
    """The three ways to the same table, in a folder of their own."""

    def __init__(self, folder: Path, pair: tuple[str, str], documents: int) -> None:
        self._folder, self._pair = folder, pair
        self._tasks = ["--tasks", _TASKS, "--device", "cpu"]
        self._tasks += ["--include_path", str(write_tasks(folder / "data", documents))]

    def sweep(self) -> tuple[Cost, Scores]:
        """One command."""
        place = self._folder / "sweep"
        command = [sys.executable, "-m", "pa_harness", "sweep", "--model_args", self._arguments()]
        command += ["--lam", _LAMS, "--apply_chat_template", "false", "--no_report", *self._tasks]
        cost = run([*command, "--output_path", str(place)], self._folder)
        files = {float(f.parent.name[4:]): f for f in place.glob("lam=*/results_*.json")}
        return cost, {lam: numbers(file) for lam, file in files.items()}

    def loop(self) -> tuple[Cost, Scores]:
        """Our model type, a process for each λ."""
        found, costs = {}, []
        for lam in parse_lams(_LAMS):
            arguments = f"{self._arguments()},lam={lam}"
            cost, found[lam] = self._lm_eval("partially_adapted", arguments, f"loop-{lam}")
            costs.append(cost)
        return total(costs), found

    def merging(self) -> tuple[Cost, Cost, Scores]:
        """Each λ written to the disk by mergekit and read by hf; the first cost is mergekit's."""
        command = str(Path(mergekit_python()).with_name("mergekit-yaml"))
        found, merges, costs = {}, [], []
        for lam in parse_lams(_LAMS):
            merged, file = self._folder / "merged", self._folder / "merge.yaml"
            weights = zip(self._pair, (1 - lam, lam), strict=True)
            models = [{"model": m, "parameters": {"weight": w}} for m, w in weights]
            config = {"merge_method": "linear", "dtype": "float32", "models": models}
            file.write_text(yaml.safe_dump(config), encoding="utf-8")
            merges.append(run([command, str(file), str(merged)], self._folder))
            arguments = f"pretrained={merged},tokenizer={self._pair[1]},dtype=float32"
            cost, found[lam] = self._lm_eval("hf", arguments, f"merging-{lam}")
            costs.append(cost)
            shutil.rmtree(merged)
        return total(merges), total(costs), found

    def _arguments(self) -> str:
        return f"pretrained={self._pair[0]},instruct={self._pair[1]},dtype=float32"

    def _lm_eval(self, model: str, arguments: str, name: str) -> tuple[Cost, dict[str, float]]:
        place = self._folder / name
        command = [sys.executable, "-m", "lm_eval", "run", "--model", model, "--model_args"]
        command += [arguments, *self._tasks, "--log_samples", "--output_path", str(place)]
        cost = run(command, self._folder)
        (file,) = place.rglob("results_*.json")
        return cost, numbers(file)


def largest(one: Scores, other: Scores) -> float:
    """The largest difference of two numbers; the same ones must be there."""
    pairs = [(one[lam][key], other[lam][key]) for lam in one | other for key in one[lam]]
    return max(0.0 if a == b else abs(float(a) - float(b)) for a, b in pairs)


def row(name: str, cost: Cost, sweep: Cost) -> list[str]:
    """A row of the table."""
    ratios = [f"{mine / least:.1f}" for mine, least in zip(cost, sweep, strict=True)]
    return [name, f"{cost[0]:.0f}", f"{cost[1]:.0f}", *ratios]


def main() -> None:
    """Run all, compare their numbers, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base")
    parser.add_argument("--instruct")
    parser.add_argument("--about", default="the pair given", help="what to call that pair")
    parser.add_argument("--documents", type=int, default=_DOCUMENTS, help="of each task")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = (given.base, given.instruct) if given.base else make_pair("llama", folder / "pair")
        arms = Arms(folder, (str(made[0]), str(made[1])), given.documents)
        sweep, swept = arms.sweep()
        loop, looped = arms.loop()
        merge, evaluation, merged = arms.merging()
    rows = [
        row("**pa-harness sweep**", sweep, sweep),
        row("`lm_eval --model partially_adapted` for each λ", loop, sweep),
        row(
            f"mergekit {MERGEKIT} and `lm_eval --model hf` for each λ",
            total([merge, evaluation]),
            sweep,
        ),
        row("… of it mergekit", merge, sweep),
    ]
    head = ["", "wall s", "CPU s", "wall ×", "CPU ×"]
    about = given.about if given.base else "a pair of 0.03 million parameters"
    text = (
        f"{len(parse_lams(_LAMS))} λ, 3 tasks of {given.documents} documents, {about}, fp32; all "
        f"measured in one run. Largest difference of a number to the sweep's: "
        f"{largest(swept, looped):.2g} (a process for each λ), {largest(swept, merged):.2g} "
        f"(mergekit).\n\n{table(head, rows)}"
    )
    options = f" --base BASE --instruct INSTRUCT --documents {given.documents}"
    command = f"python -m benchmarks.sweep{options if given.base else ''}"
    publish("sweep", text, command=command)


if __name__ == "__main__":
    main()
