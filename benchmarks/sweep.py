"""A sweep of 11 λ against the shell loops that it replaces: ``python -m benchmarks.sweep``.

The loops are what a user writes without a sweep: one `lm_eval run` per λ with our model type, or
one merge to disk with mergekit and one `lm_eval run --model hf` on it. The pair is tiny (so that
what is measured are the fixed costs, which do not grow with the model), tasks are three of 100
documents. ``--base`` and ``--instruct`` name another pair, ``--documents`` another number. The
steps of a loop cost the same at every λ: with ``--measured 3`` only three of them are run, evenly
spread, and the loops' times scaled up, which the table then says.
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

from benchmarks.support.mergekit_environment import MERGEKIT, mergekit_python
from benchmarks.support.places import REPOSITORY
from benchmarks.support.report import publish, table
from pa_harness.lam.grid import parse_lams

sys.path.insert(0, str(REPOSITORY / "tests" / "support"))
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
    """Of the commands of a loop over all λ; scaled up where only some λ were run."""
    scale = len(parse_lams(_LAMS)) / len(costs)
    return scale * sum(wall for wall, _ in costs), scale * sum(cpu for _, cpu in costs)


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

    def __init__(self, folder: Path, pair: tuple[str, str], documents: int, measured: int) -> None:
        self._folder, self._pair = folder, pair
        lams = parse_lams(_LAMS)
        last = len(lams) - 1
        self._some = [lams[round(last * n / max(measured - 1, 1))] for n in range(measured)]
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
        for lam in self._some:
            arguments = f"{self._arguments()},lam={lam}"
            cost, found[lam] = self._lm_eval("partially_adapted", arguments, f"loop-{lam}")
            costs.append(cost)
        return total(costs), found

    def merging(self) -> tuple[Cost, Cost, Scores]:
        """Each λ written to the disk by mergekit and read by hf; the first cost is mergekit's."""
        command = str(Path(mergekit_python()).with_name("mergekit-yaml"))
        found, merges, costs = {}, [], []
        for lam in self._some:
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
    pairs = [(one[lam][key], other[lam][key]) for lam in other for key in one[lam] | other[lam]]
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
    parser.add_argument("--measured", type=int, default=11, help="λ that the loops run")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = (given.base, given.instruct) if given.base else make_pair("llama", folder / "pair")
        pair = str(made[0]), str(made[1])
        arms = Arms(folder, pair, given.documents, given.measured)
        sweep, swept = arms.sweep()
        loop, looped = arms.loop()
        merge, evaluation, merged = arms.merging()
    both = merge[0] + evaluation[0], merge[1] + evaluation[1]
    rows = [
        row("**pa-harness sweep**", sweep, sweep),
        row("`lm_eval --model partially_adapted` for each λ", loop, sweep),
        row(f"mergekit {MERGEKIT} and `lm_eval --model hf` for each λ", both, sweep),
        row("… of it mergekit", merge, sweep),
    ]
    head = ["", "wall s", "CPU s", "wall ×", "CPU ×"]
    lams = len(parse_lams(_LAMS))
    about = given.about if given.base else "a pair of 0.03 million parameters"
    scaled = f" The loops ran {given.measured} of the {lams} λ; their times are scaled up."
    text = (
        f"{lams} λ, 3 tasks of {given.documents} documents, {about}, fp32; all measured in one "
        f"run.{scaled if given.measured < lams else ''} Largest difference of a number to the "
        f"sweep's: {largest(swept, looped):.2g} (a process for each λ), "
        f"{largest(swept, merged):.2g} (mergekit).\n\n{table(head, rows)}"
    )
    command = "python -m benchmarks.sweep"
    if given.base:
        command += f" --base BASE --instruct INSTRUCT --documents {given.documents}"
    if given.measured < lams:
        command += f" --measured {given.measured}"
    publish("sweep", text, command=command)


if __name__ == "__main__":
    main()
