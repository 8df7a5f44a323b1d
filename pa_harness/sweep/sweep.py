"""The sweep: one model load, tasks and prompts once, λ set in place, every unit kept."""

from __future__ import annotations

import os
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness import processes
from pa_harness.errors import SweepError, listed
from pa_harness.runs.folder import NO_IDENTITY, RunFolder
from pa_harness.runs.scores import main_metric
from pa_harness.runs.seal import write_sealed
from pa_harness.storage import sole_writer, write_text
from pa_harness.sweep.checks import check
from pa_harness.sweep.kept import Kept
from pa_harness.sweep.prompts import first_difference_to
from pa_harness.sweep.results import write_results
from pa_harness.sweep.shot_draws import undrawn
from pa_harness.sweep.sources import library_versions
from pa_harness.sweep.worker import UnitWorker
from pa_harness.sweep.workload import documents, load_tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.runs.scores import Score
    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.cluster import Cluster
    from pa_harness.sweep.progress import Progress
    from pa_harness.sweep.unit import Place, Unit
    from pa_harness.sweep.workload import Workload


@dataclass(frozen=True)
class Terms:
    """How a sweep is done: nothing here changes a number.

    Attributes:
        command: that began it, for its record.
        cluster: whose workers evaluate; None: this process does.
        redo: tasks and λ whose units are evaluated again; empty: all that are not of what would be
            evaluated now; None: such units are refused.
        started: when it began, in UTC, as another sweep that it is a part of; empty: now.
    """

    command: str = ""
    cluster: Cluster | None = None
    redo: Sequence[str] | None = None
    started: str = ""


_PLAIN = Terms()


def sweep(
    settings: SweepSettings, path: Path, progress: Progress, terms: Terms = _PLAIN
) -> list[Score]:
    """Evaluate every task at every λ, or what is missing of it; write the run folder.

    A run that is there, finished or not, is compared with what its command would evaluate now.

    Args:
        settings: what to do.
        path: the run folder; one that holds a part of the same sweep is completed.
        progress: is told how far it is.
        terms: how.

    Returns:
        The scores, as in the folder's table; none in processes beside the first.

    Raises:
        SweepError: the model or the tasks cannot be swept.
        RunError: the folder is in use, or holds something else.
    """
    check(settings, path)
    if not RunFolder(path).scores_file.exists():
        named = ", ".join(settings.tasks)
        progress.note(f"{named} at {len(settings.lam)} λ. Looking at the tasks ...")
    if processes.count() > 1:
        _check_cache(settings, f"{processes.count()} processes: they")
        processes.start()
    if processes.number() > 0:
        _help(settings, progress)
        return []
    folder = RunFolder(path)
    only_read = folder.manifest and terms.redo is None and not os.access(path, os.W_OK)
    with nullcontext() if only_read else sole_writer(path, "a sweep"):
        if folder.is_old and folder.scores_file.exists() and terms.redo is None:
            folder.open_(settings, {})
            progress.note(f"{path} {NO_IDENTITY}.")
            processes.agree(None)
            return folder.scores()
        folder.open_(settings, _provenance(folder, terms.command), terms.started)
        workload = load_tasks(settings)
        if settings.fewshot_draws and (note := undrawn(workload.tasks)):
            progress.note(note)
        kept = Kept(folder, settings, workload)
        kept.check(terms.redo, progress.note)
        missing = kept.missing()
        processes.agree((missing, folder.started))
        if missing:
            folder.reopen()
            if terms.cluster is None:
                _evaluate(kept, missing, progress, folder.started)
            else:
                _evaluate_on_cluster(kept, missing, progress, folder.started, terms.cluster)
        else:
            lost = folder.manifest.lost()
            if not lost:
                return folder.scores()
            progress.note("\n".join(["Written again, from the units:", listed(lost)]))
        scores = write_results(folder, settings, workload)
        folder.finish(kept.logs)
        return scores


def _help(settings: SweepSettings, progress: Progress) -> None:
    """Do what the first of several processes does, for its model calls; keep nothing."""
    agreed = processes.agree(None)
    if agreed and agreed[0]:
        missing, started = agreed
        with tempfile.TemporaryDirectory() as place:
            folder = RunFolder(Path(place))
            folder.open_(settings, {}, started)
            kept = Kept(folder, settings, load_tasks(settings))
            _evaluate(kept, missing, progress, started)


def _check_cache(settings: SweepSettings, several: str) -> None:
    if settings.use_cache is not None:
        raise SweepError(
            f"use_cache={settings.use_cache} with {several} would write to one file. Leave it "
            "out: a sweep keeps its finished units itself."
        )


def _provenance(folder: RunFolder, command: str) -> dict[str, Any]:
    """What a sweep runs under: versions, machine, command; nothing where that is kept already."""
    if folder.begun:
        return {}
    from lm_eval.loggers.utils import add_env_info, get_commit_from_path

    environment: dict[str, Any] = {"git_hash": get_commit_from_path(Path.cwd())}
    add_env_info(environment)
    return {"versions": library_versions(), "command": command, "environment": environment}


def _evaluate(kept: Kept, missing: list[Place], progress: Progress, started: str) -> None:
    """Evaluate in this process."""
    settings, workload = kept.settings, kept.workload
    progress.note(f"Loading {settings.model} ...")
    worker = UnitWorker(settings, workload, missing[0][0], started, progress.answered)
    kept.check_model(worker.info, worker.stamps)
    for name in dict.fromkeys(task for _, task in missing):
        digest, log = worker.prompts(name), kept.log_of(name)
        if log is not None:
            task = workload.tasks[name]
            kept.refuse_prompts(name, digest, partial(first_difference_to, log, task))
    done = set(kept.every) - set(missing)
    distinct = {name: worker.distinct_tokens(name) for name in {task for _, task in missing}}
    sizes = _sizes(settings, workload)
    progress.plan(settings.lam, sizes, done, worker.count_tokens(), distinct)
    for lam, name in missing:
        progress.start_unit(lam, name, len(workload.tasks[name].instances))
        _keep(kept, (lam, name), *worker.evaluate(lam, name), progress)
    progress.close()


def _evaluate_on_cluster(
    kept: Kept, missing: list[Place], progress: Progress, started: str, cluster: Cluster
) -> None:
    """Evaluate on the workers of a Ray cluster; what they return is written here."""
    from pa_harness.sweep.ray_workers import evaluate

    settings = cluster.settings
    _check_cache(settings, "--executor ray: several workers")
    done = set(kept.every) - set(missing)
    progress.plan(settings.lam, _sizes(settings, kept.workload), done)
    for each in evaluate(cluster, missing, started, progress.note):
        kept.check_model(each.info, each.stamps)
        progress.start_unit(*each.place, 1)
        _keep(kept, each.place, each.unit, each.log, progress)
    progress.close()


def _keep(kept: Kept, place: Place, unit: Unit, log: str, progress: Progress) -> None:
    kept.check_unit(place, unit)
    folder = kept.folder
    write_text(folder.samples(*place), log)
    write_sealed(folder.unit(*place), unit)  # last: where it is, the unit is done
    progress.end_unit(_main_value(unit))


def _sizes(settings: SweepSettings, workload: Workload) -> dict[str, int]:
    """Documents by task."""
    return {name: documents(task, settings) for name, task in workload.tasks.items()}


def _main_value(unit: Unit) -> str:
    """The main metric (of a task that is to be judged the first) for the progress display."""
    values = unit["results"]
    key = main_metric(values, unit["facts"])
    key = key if key in values else main_metric(values, {})
    value = values.get(key)
    return f"{key.split(',')[0]} {value:.4f}" if isinstance(value, float) else key
