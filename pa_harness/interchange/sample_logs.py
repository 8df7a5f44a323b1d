"""An evaluation that a user names, read document by document: ``out/gemma``, ``runs/first@0.6``."""

from __future__ import annotations

import math
import os
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.errors import RunError, listed
from pa_harness.foreign.naming import file_name
from pa_harness.interchange.lm_eval_files import from_results, is_lm_eval, read_json_file
from pa_harness.interchange.log_clusters import Clusters
from pa_harness.interchange.log_lines import read_lines
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.logged import Evaluation, Logged
from pa_harness.runs.manifest import own
from pa_harness.runs.scores import from_lm_eval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pa_harness.runs.scores import Score

_DATED = re.compile(r".*_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)\.json")
_DATED_FILES = "*_[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*.json"  # --output_path FILE.json
_ROUNDING = 1e-6  # of a reported mean
_LARGE = 1 << 27  # bytes of logs from which on other processes are worth their start
_CURE = "Evaluate with --log_samples (a sweep always does), and name that --output_path."


def read_evaluation(
    text: str, metrics: Mapping[str, str] | None = None, *, clustered: bool = True
) -> Evaluation:
    """What the sample logs of one evaluation say.

    Args:
        text: a folder of lm-eval's results, a results file, or a run; of a sweep with ``@λ``,
            else at λ = 1.
        metrics: of tasks that another metric than their main one is wanted of:
            ``metric,filter``, or the metric alone (its first filter).
        clustered: whether documents that share a text are looked for; else each is alone.

    Raises:
        RunError: there is nothing of the kind, or it is of several models, or damaged.
    """
    path, lam = _place(text)
    notes = tuple(RunFolder(path).check()) if path.is_dir() else ()
    contents = _of_one(text, _contents(path), lam)
    if lam is None and len({each[2] for each in contents}) == 1 and _swept(contents[0][2]):
        lams = {each[2] for each in _contents(path)}
        if len(lams) > 1:
            notes += (f"{text} is a sweep, taken at λ = 1. {text}@0.5 names another of its λ.",)
    tasks, left, clusters = dict[str, Logged](), [], Clusters() if clustered else None
    for file, content, _ in sorted(contents, key=lambda each: each[0].name):  # the newest last
        for score in _wanted(from_lm_eval(content), metrics or {}, text):
            log = _log(file, score.task)
            found = _task(log, score, content, clusters) if log else "it has no sample log"
            if isinstance(found, Logged):
                tasks[score.task] = found
            else:
                left.append(f"{text}: {score.task} is left out: {found}.")
    if not tasks:
        raise RunError(
            f"{text} holds no task that can be read document by document:\n{listed(left)}\n{_CURE}"
        )
    return Evaluation(text, tasks, (*notes, *left))


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


def _task(log: Path, score: Score, content: Any, clusters: Clusters | None) -> Logged | str:
    """The task by document, or why it cannot be had."""
    keys = [key for key in content["results"][score.task] if "," in key]
    filters = list(dict.fromkeys(key.partition(",")[2] for key in keys))
    lines = read_lines(log, score.metric, score.filter, filters, texts=clusters is not None)
    values = lines.numbers(score.metric)
    if not len(values) or np.isnan(values).all():
        return f"{score.key} has no number by document"
    if not abs(float(np.nanmean(values)) - score.value) <= _ROUNDING * max(1, abs(score.value)):
        return f"{score.key} is no mean over documents"
    ids, documents, prompts, options = lines.columns()
    of = np.arange(len(ids))
    if clusters is not None:
        of = clusters.of(score.task, content["configs"].get(score.task) or {}, log, lines)
    return Logged(score, ids, documents, prompts, values, options, of)


def read_evaluations(
    texts: Sequence[str], metrics: Mapping[str, str], *, all_clustered: bool
) -> list[Evaluation]:
    """Several of `read_evaluation`; large ones at the same time.

    Args:
        texts: what the user named.
        metrics: as in `read_evaluation`.
        all_clustered: whether all need their documents' clusters, not the first alone.

    Raises:
        RunError: as `read_evaluation`.
    """
    clustered = [all_clustered or not place for place in range(len(texts))]
    if sum(map(_size, texts)) < _LARGE:
        pairs = zip(texts, clustered, strict=True)
        return [read_evaluation(text, metrics, clustered=each) for text, each in pairs]
    workers = min(len(texts), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(read_evaluation, text, metrics, clustered=each)
            for text, each in zip(texts, clustered, strict=True)
        ]
        return [each.result() for each in waiting]


def _size(text: str) -> int:
    """Of the sample logs, in bytes."""
    path = _place(text)[0]
    folder = path if path.is_dir() else path.parent
    return sum(log.stat().st_size for log in folder.rglob("samples_*.jsonl"))
