"""An evaluation that a user names, read document by document: ``out/gemma``, ``runs/first@0.6``."""

from __future__ import annotations

import math
import os
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.errors import RunError, listed
from pa_harness.foreign.naming import file_name
from pa_harness.interchange.lm_eval_files import from_results, is_lm_eval, read_json_file
from pa_harness.interchange.log_clusters import cluster_names, numbered
from pa_harness.interchange.log_lines import read_lines
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.logged import Evaluation, Logged
from pa_harness.runs.manifest import own
from pa_harness.runs.scores import from_lm_eval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pa_harness.runs.scores import Score

_DATED = re.compile(r".*_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)\.json")
_DATED_FILES = "*_[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*.json"  # --output_path FILE.json
_ROUNDING = 1e-6  # of a reported mean
_LARGE = 1 << 27  # bytes of logs from which on other processes are worth their start
_CURE = "Evaluate with --log_samples (a sweep always does), and name that --output_path."


def read_evaluations(
    texts: Sequence[str], metrics: Mapping[str, str], *, all_clustered: bool
) -> list[Evaluation]:
    """What the sample logs of evaluations say; of large ones several logs at the same time.

    Args:
        texts: each a folder of lm-eval's results, a results file, or a run; of a sweep with
            ``@λ``, else at λ = 1.
        metrics: of tasks that another metric than their main one is wanted of:
            ``metric,filter``, or the metric alone (its first filter).
        all_clustered: whether documents that share a text are looked for in all; else in the first
            alone, and those of the others stand alone.

    Raises:
        RunError: there is nothing of the kind, or it is of several models, or damaged.
    """
    asked = [
        _asked(text, metrics, clustered=all_clustered or not place)
        for place, text in enumerate(texts)
    ]
    logs = [log for each in asked for log in each.logs]
    if sum(log.path.stat().st_size for log in logs) < _LARGE:
        found = [log.read() for log in logs]
    else:
        workers = min(len(logs), os.cpu_count() or 1)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(_Log.read, logs))
    read = iter(found)
    return [_evaluation(each, [next(read) for _ in each.logs]) for each in asked]


@dataclass(frozen=True)
class _Log:
    """A log that is to be read.

    Attributes:
        path: the file.
        score: which metric, as the results have it.
        filters: of the task, in the order of its results.
        config: of the task, likewise.
        clustered: whether documents that share a text are looked for; else each is alone.
        run: the sweep's folder that it is of, whose table has numbers that no log has; or none.
    """

    path: Path
    score: Score
    filters: list[str]
    config: dict[str, Any]
    clustered: bool
    run: Path | None

    def read(self) -> Logged | str:
        """The task by document, its clusters by name; or why it cannot be had."""
        score = self.score
        lines = read_lines(
            self.path, score.metric, score.filter, self.filters, texts=self.clustered
        )
        ids, documents, prompts, options = lines.columns()
        values = lines.numbers(score.metric)
        if self.run and np.isnan(values).all():
            values = _of_table(self.run, score, ids)
        if not len(values) or np.isnan(values).all():
            return f"{score.key} has no number by document"
        gap = abs(float(np.nanmean(values)) - score.value)
        if not gap <= _ROUNDING * max(1, abs(score.value)):
            return f"{score.key} is no mean over documents"
        names = np.zeros(len(ids), dtype=np.int64)
        if self.clustered:
            names = cluster_names(score.task, self.config, self.path, lines)
        return Logged(score, self.path, ids, documents, prompts, values, options, names)


def _of_table(run: Path, score: Score, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """What a sweep's table has of these documents, as the mean of several answers; else NaN."""
    found = RunFolder(run).documents().paired(score.task).get(score.key)
    rows = [] if found is None else np.flatnonzero(found.lams == score.lam).tolist()
    if found is None or not rows:
        return np.full(len(ids), np.nan)
    known = dict(zip(found.ids.tolist(), found.values[rows[0]].tolist(), strict=True))
    return np.array([known.get(number, np.nan) for number in ids.tolist()])


@dataclass(frozen=True)
class _Asked:
    """An evaluation's logs, and what is said of it."""

    label: str
    logs: list[_Log]
    notes: tuple[str, ...]
    left: list[str]  # tasks that are left out, and why


def _asked(text: str, metrics: Mapping[str, str], *, clustered: bool) -> _Asked:
    path, lam = _place(text)
    notes = tuple(RunFolder(path).check()) if path.is_dir() else ()
    contents = _of_one(text, _contents(path), lam)
    if lam is None and len({each[2] for each in contents}) == 1 and _swept(contents[0][2]):
        lams = {each[2] for each in _contents(path)}
        if len(lams) > 1:
            notes += (f"{text} is a sweep, taken at λ = 1. {text}@0.5 names another of its λ.",)
    logs, left = dict[str, _Log](), []
    run = path if RunFolder(path).documents_file.is_file() else None
    for file, content, _ in sorted(contents, key=lambda each: each[0].name):  # the newest last
        for score in _wanted(from_lm_eval(content), metrics, text):
            log = _log(file, score.task)
            if log:
                keys = [key for key in content["results"][score.task] if "," in key]
                filters = list(dict.fromkeys(key.partition(",")[2] for key in keys))
                config = content["configs"].get(score.task) or {}
                logs[score.task] = _Log(log, score, filters, config, clustered, run)
            else:
                left.append(f"{text}: {score.task} is left out: it has no sample log.")
    return _Asked(text, list(logs.values()), notes, left)


def _evaluation(asked: _Asked, read: Sequence[Logged | str]) -> Evaluation:
    """What was read, its clusters numbered.

    Raises:
        RunError: no task can be read document by document.
    """
    left, found = list(asked.left), []
    for log, each in zip(asked.logs, read, strict=True):
        if isinstance(each, Logged):
            found.append(each)
        else:
            left.append(f"{asked.label}: {log.score.task} is left out: {each}.")
    if not found:
        raise RunError(
            f"{asked.label} holds no task that can be read document by document:\n{listed(left)}\n"
            f"{_CURE}"
        )
    numbers = numbered([each.clusters for each in found])
    tasks = {
        each.score.task: replace(each, clusters=of) for each, of in zip(found, numbers, strict=True)
    }
    return Evaluation(asked.label, tasks, (*asked.notes, *left))


def _place(text: str) -> tuple[Path, float | None]:
    path, at, lam = text.rpartition("@")
    if Path(text).exists() or not at:
        if Path(text).exists():
            return Path(text), None
        raise RunError(
            f"There is no {text}. Name a folder of results that were written with --log_samples, "
            "or a run and its λ, as runs/first@0.6."
        )
    try:
        number = float(lam)
    except ValueError:
        number = math.nan
    if not Path(path).exists() or math.isnan(number):
        raise RunError(f"{text}: expected a run and one of its λ, as runs/first@0.6.")
    return Path(path), number


Content = tuple[Path, Any, tuple[str, ...]]


def _contents(path: Path) -> list[Content]:
    """Every results file, with what tells one model from another."""
    if path.is_file():
        files = [path]
    else:
        dated = [each for each in path.rglob(_DATED_FILES) if not each.name.startswith("results")]
        files = [*RunFolder(path).results_files(), *own(sorted(dated))]
    found: list[Content] = []
    for file in files:
        content = read_json_file(file)
        if is_lm_eval(content):
            first = from_results(content, file)[0]
            who = (first.model, first.base, first.instruct, first.way, f"{first.lam:g}")
            found.append((file, content, who))
    if not found:
        raise RunError(f"{path} holds no results file of lm-eval. {_CURE}")
    return found


def _swept(who: tuple[str, ...]) -> bool:
    return who[-1] != "nan"


def _of_one(text: str, contents: Sequence[Content], lam: float | None) -> list[Content]:
    """The results of one model, at one λ.

    Raises:
        RunError: there are several, or none at this λ.
    """
    several = len({who for _, _, who in contents}) > 1
    wanted = f"{lam:g}" if lam is not None else "1" if several else None
    known = list(dict.fromkeys(who[-1] for _, _, who in contents if _swept(who)))
    if wanted is not None and (known or lam is not None):
        found = [each for each in contents if each[2][-1] == wanted]
        if not found:
            lams = f"λ = {', '.join(known)}" if known else "no λ: it is no sweep"
            raise RunError(f"{text} has no results at λ = {wanted}. It has {lams}.")
        contents = found
    models = {f"{who[0]} ({file.parent})": who for file, _, who in contents}
    if len(set(models.values())) > 1:
        raise RunError(
            f"{text} holds results of several models:\n{listed(models)}\nName the folder of one."
        )
    return list(contents)


def _wanted(scores: Sequence[Score], metrics: Mapping[str, str], text: str) -> list[Score]:
    """The main metric of each task, or the one that is asked for."""
    found = [score for score in scores if score.main and score.task not in metrics]
    for task, key in metrics.items():
        of_task = [score for score in scores if score.task == task]
        chosen = [score for score in of_task if key in (score.key, score.metric)][:1]
        if of_task and not chosen:
            keys = dict.fromkeys(score.key for score in of_task)
            raise RunError(
                f"--metrics {task}={key}: {text} has no such metric of {task}. It has:\n"
                f"{listed(keys)}"
            )
        found += chosen
    return found


def _log(results: Path, task: str) -> Path | None:
    """The sample log that was written with a results file."""
    date = _DATED.fullmatch(results.name)
    if not date:
        return None
    names = dict.fromkeys((task, file_name(task)))
    places = [results.with_name(f"samples_{name}_{date[1]}.jsonl") for name in names if name]
    found = [place for place in places if place.is_file() and place.parent == results.parent]
    return own(found[:1])[0] if found else None
