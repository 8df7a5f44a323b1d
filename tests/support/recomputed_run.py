"""The numbers of a sweep from lm-eval's sample logs and results files alone, by NumPy.

It imports nothing of pa_harness and does everything in its own way; of clusters it takes what the
units noted.
"""

from __future__ import annotations

import json
import math
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from recomputed_intervals import Sample, over_tasks
from recomputed_values import of_documents

BINS = 15
Named = dict[str, Any]


class Task:
    """One task: its samples by λ and document, and what its results file says of it."""

    def __init__(
        self, name: str, logs: list[list[Named]], results: Named, units: list[Named]
    ) -> None:
        metadata = results["configs"][name].get("metadata") or {}
        facts = {**metadata, **results["pa_harness"]["tasks"][name]}
        first = logs[0][0]
        self.name, self.category = name, facts.get("category", "")
        self.counted = facts.get("counts_as") or name.partition("::")[0]
        self.key = facts.get("metric") or f"{first['metrics'][0]},{first['filter']}"
        self.baseline = float(facts.get("random_baseline", math.nan))
        metric, _, self.filter = self.key.partition(",")
        self.averaged = results["higher_is_better"][name].get(metric) is not False
        self._logs = logs
        chosen = [{s["doc_id"]: s for s in log if s["filter"] == self.filter} for log in logs]
        self.ids = sorted(chosen[0])
        self.samples = [[by[number] for number in self.ids] for by in chosen]
        self.values = np.array([of_documents(metric, log) for log in self.samples])
        self._units = units
        noted = units[0]["documents"]
        names = dict(zip(noted["ids"], noted["clusters"] or [], strict=False))
        self.clusters = [names.get(number) or f"{name} {number}" for number in self.ids]

    def metric(self, row: int, name: str, filtered: str) -> list[float]:
        """Any metric's values at one λ."""
        return of_documents(name, [s for s in self._logs[row] if s["filter"] == filtered])

    @cached_property
    def options(self) -> Any:
        """λ × documents × (confidence, hit, Brier score); None without options to choose from."""
        for sample in self.samples[0]:
            contexts = {each["arg_0"] for each in sample["arguments"].values()}
            if len(sample["resps"]) < 2 or len(contexts) > 1:
                return None
        return np.array([[self._options(s) for s in log] for log in self.samples])

    def _options(self, sample: Named) -> tuple[float, float, float]:
        likelihoods = np.array([float(each[0][0]) for each in sample["resps"]])
        p = np.exp(likelihoods - np.logaddexp.reduce(likelihoods))
        texts = [each["arg_1"].strip() for each in sample["arguments"].values()]
        target = sample["target"]
        right = int(target) if target.isdecimal() else texts.index(target.strip())
        brier = sum((each - (n == right)) ** 2 for n, each in enumerate(p))
        return p.max(), float(p.argmax() == right), brier

    @cached_property
    def answers(self) -> Any:
        """λ × documents × (tokens, ended), as the model noted them; None without generation."""
        if not isinstance(self.samples[0][0]["resps"][0][0], str):
            return None
        found = []
        for unit in self._units:
            values = unit["documents"]["values"]
            noted = zip(values["length,answer"], values["ended,answer"], strict=True)
            by_number = dict(zip(unit["documents"]["ids"], noted, strict=True))
            found.append([by_number[number] for number in self.ids])
        return np.array(found, dtype=float)


class Run:
    """All that the page should say."""

    def __init__(self, folder: Path) -> None:
        self.results = {}
        for file in folder.glob("lam=*/results_*.json"):
            self.results[float(file.parent.name[4:])] = json.loads(file.read_text("utf-8"))
        self.lams = sorted(self.results)
        one = self.results[self.lams[-1]]
        self.tasks = [
            Task(
                name,
                [_log(folder, lam, name) for lam in self.lams],
                one,
                [_unit(folder, lam, name) for lam in self.lams],
            )
            for name in one["pa_harness"]["tasks"]
        ]

    def weights(self, tasks: list[Task]) -> list[float]:
        parts = [task.counted for task in tasks]
        return [1 / len(set(parts)) / parts.count(task.counted) for task in tasks]

    def average(self, tasks: list[Task], of: Any) -> Any:
        return sum(w * of(t) for w, t in zip(self.weights(tasks), tasks, strict=True))

    @cached_property
    def members(self) -> dict[str, list[Task]]:
        """Names of curves and their tasks."""
        icl = [t for t in self.tasks if t.averaged and t.category != "instruction"]
        found = {"ICL": icl, "IF": [t for t in self.tasks if t.averaged and t not in icl]}
        for task in icl:
            if task.category:
                same = [t for t in icl if t.category == task.category]
                found[f"category {task.category}"] = same
        if not any(math.isnan(task.baseline) for task in icl):
            found["ICL, normalised"] = icl
        for task in self.tasks:
            found.setdefault(task.counted, [t for t in self.tasks if t.counted == task.counted])
            found.setdefault(task.name, [task])
        return {name: tasks for name, tasks in found.items() if tasks}

    def curve(self, name: str) -> Named:
        """Each column's name and numbers by λ."""
        tasks, normalised = self.members[name], name == "ICL, normalised"

        def scale(task: Task, values: Any) -> Any:
            return (values - task.baseline) / (1 - task.baseline) if normalised else values

        value = self.average(tasks, lambda t: scale(t, t.values.mean(axis=1)))
        found = {"value": value}
        for column, lam in (("to_instruct", 1.0), ("to_base", 0.0)):
            if lam in self.lams:
                row = self.lams.index(lam)
                found[column] = value - value[row]
        if 1.0 in self.lams:
            one = self.lams.index(1.0)
            found["band"] = value - value[one]
            with np.errstate(divide="ignore", invalid="ignore"):
                found["fractional"] = 100 * (value / value[one] - 1)
            counted = list(dict.fromkeys(task.counted for task in tasks))
            groups = [[task for task in tasks if task.counted == each] for each in counted]
            means = np.stack(
                [self.average(g, lambda t: scale(t, t.values.mean(axis=1))) for g in groups], axis=1
            )
            if len(counted) > 2:
                apart = means - means[one]
                found["over"] = apart.mean(axis=1)
                found["over ends"] = np.transpose(over_tasks(apart))
        arrays = [np.array(scale(task, task.values), dtype=float) for task in tasks]
        sample = Sample(arrays, [task.clusters for task in tasks], self.weights(tasks))
        rows = range(len(self.lams))
        found["value ends"] = np.array([sample.level(row) for row in rows])
        for column, lam in (("to_instruct", 1.0), ("to_base", 0.0)):
            if lam in self.lams:
                to = self.lams.index(lam)
                ends = [sample.difference(row, to) for row in rows]
                found[f"{column} ends"] = np.array(ends)
        return found

    def pareto(self) -> str | None:
        """The λ that no other beats in ICL and IF."""
        if "IF" not in self.members:
            return None
        pairs = [
            self.average(self.members[n], lambda t: t.values.mean(axis=1)) for n in ("ICL", "IF")
        ]
        points = list(zip(*pairs, strict=True))
        best = [
            f"{lam:g}"
            for lam, (x, y) in zip(self.lams, points, strict=True)
            if not any(a >= x and b >= y and (a > x or b > y) for a, b in points)
        ]
        return ", ".join(best)

    @cached_property
    def beside(self) -> Named:
        """Calibration and answers, by λ."""
        found = {}
        for name, source, place in (
            *(("brier", "options", 2), ("answer_length", "answers", 0)),
            ("answers_ended", "answers", 1),
        ):
            tasks = [task for task in self.tasks if getattr(task, source) is not None]
            if tasks:
                arrays = {t.name: getattr(t, source)[:, :, place] for t in tasks}
                found[name] = self.average(tasks, lambda t, a=arrays: a[t.name].mean(axis=1))
        tasks = [task for task in self.tasks if task.options is not None]
        if tasks:
            found["calibration"] = np.sqrt(self.average(tasks, _calibration).clip(0))
        return found

    @cached_property
    def cost(self) -> tuple[Any, Any]:
        """Score and tokens of the tasks that generate, by λ."""
        tasks = [task for task in self.tasks if task.answers is not None]
        score = self.average(tasks, lambda t: t.values.mean(axis=1))
        return score, self.beside["answer_length"]

    def at(self, name: str, lam: float) -> float:
        """An average at one λ."""
        mean = self.average(self.members[name], lambda t: t.values.mean(axis=1))
        return float(mean[self.lams.index(lam)])


def _unit(folder: Path, lam: float, name: str) -> Named:
    found: Named = json.loads((folder / f"units/lam={lam:g}/{name}.json").read_text("utf-8"))
    return found


def _log(folder: Path, lam: float, task: str) -> list[Named]:
    (file,) = (folder / f"lam={lam:g}").glob(f"samples_{task}_[0-9][0-9][0-9][0-9]-*.jsonl")
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def _calibration(task: Task) -> Any:
    """By λ: Σ_bins n_bin/n · mean over pairs, of different clusters, of the product of gaps."""
    confidence, hit = task.options[:, :, 0], task.options[:, :, 1]
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    found = []
    for row in range(len(bins)):
        gaps, total = hit[row] - confidence[row], 0.0
        for inside in (np.flatnonzero(bins[row] == n) for n in range(BINS)):
            pairs = [
                gaps[a] * gaps[b]
                for a, b in combinations(inside, 2)
                if task.clusters[a] != task.clusters[b]
            ]
            total += len(inside) / len(gaps) * float(np.mean(pairs)) if pairs else 0.0
        found.append(total)
    return np.array(found)


def factor_of(values: Any) -> int:
    """Fractions are shown in points."""
    return 100 if all(0 <= value <= 1 for value in values) else 1


def answer_shown(task: Task, row: int, column: int) -> str:
    """The likeliest option, or the text; its end where it is long."""
    sample = task.samples[row][column]
    text = _whole_answer(sample)
    return text if len(text) <= 1200 else f"… {text[-1200:]}"


def _whole_answer(sample: dict[str, Any]) -> str:
    first = sample["resps"][0][0]
    if len(sample["resps"]) == 1:
        return first if isinstance(first, str) else f"log-likelihood {first[0]}"
    best = max(range(len(sample["resps"])), key=lambda n: float(sample["resps"][n][0][0]))
    return str(sample["arguments"][f"gen_args_{best}"]["arg_1"])
