"""The sweep: one model load, tasks and prompts once, λ set in place, every unit kept."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness import __version__, processes
from pa_harness.errors import SweepError
from pa_harness.lam.grid import visiting_order
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.scores import main_metric
from pa_harness.storage import sole_writer, write_json, write_text
from pa_harness.sweep.checks import check
from pa_harness.sweep.results import write_results
from pa_harness.sweep.worker import UnitWorker
from pa_harness.sweep.workload import documents, load_tasks

if TYPE_CHECKING:
    from pa_harness.runs.scores import Score
    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.cluster import Cluster
    from pa_harness.sweep.progress import Progress
    from pa_harness.sweep.unit import Place, Unit
    from pa_harness.sweep.workload import Workload

_LIBRARIES = ("lm_eval", "transformers", "torch", "datasets", "numpy")


def sweep(
    settings: SweepSettings,
    path: Path,
    progress: Progress,
    command: str = "",
    cluster: Cluster | None = None,
) -> list[Score]:
    """Evaluate every task at every λ, or what is missing of it; write the run folder.

    Args:
        settings: what to do.
        path: the run folder; one that holds a part of the same sweep is completed.
        progress: is told how far it is.
        command: that began the sweep, for its record.
        cluster: whose workers evaluate; None: this process does.

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
    with sole_writer(path, "a sweep"):
        folder = RunFolder(path)
        folder.open_(settings, _provenance(folder, command))
        if folder.scores_file.exists():
            processes.agree([])
            return folder.scores()
        workload = load_tasks(settings)
        missing = processes.agree(_missing(folder, settings, workload))
        if missing and cluster is not None:
            _evaluate_on_cluster(folder, workload, missing, progress, cluster)
        elif missing:
            _evaluate(folder, settings, workload, missing, progress)
        return write_results(folder, settings, workload)


def _help(settings: SweepSettings, progress: Progress) -> None:
    """Do what the first of several processes does, for its model calls; keep nothing."""
    missing = processes.agree(None)
    if missing:
        with tempfile.TemporaryDirectory() as place:
            folder = RunFolder(Path(place))
            folder.open_(settings, {"versions": {}})
            _evaluate(folder, settings, load_tasks(settings), missing, progress)


def _check_cache(settings: SweepSettings, several: str) -> None:
    if settings.use_cache is not None:
        raise SweepError(
            f"use_cache={settings.use_cache} with {several} would write to one file. Leave it "
            "out: a sweep keeps its finished units itself."
        )


def _provenance(folder: RunFolder, command: str) -> dict[str, Any]:
    """What a sweep runs under: versions, which it must keep; machine and command."""
    versions = {"pa_harness": __version__, **{name: version(name) for name in _LIBRARIES}}
    if folder.scores_file.exists():
        return {"versions": versions}
    from lm_eval.loggers.utils import add_env_info, get_commit_from_path

    environment: dict[str, Any] = {"git_hash": get_commit_from_path(Path.cwd())}
    add_env_info(environment)
    return {"versions": versions, "command": command, "environment": environment}


def _missing(folder: RunFolder, settings: SweepSettings, workload: Workload) -> list[Place]:
    return [each for each in _every(settings, workload) if not folder.unit(*each).exists()]


def _evaluate(
    folder: RunFolder,
    settings: SweepSettings,
    workload: Workload,
    missing: list[Place],
    progress: Progress,
) -> None:
    """Evaluate in this process."""
    progress.note(f"Loading {settings.model} ...")
    worker = UnitWorker(settings, workload, missing[0][0], progress.answered)
    folder.check_model(worker.info)
    for name in dict.fromkeys(task for _, task in missing):
        folder.check_prompts(name, worker.prompts(name))
    kept = set(_every(settings, workload)) - set(missing)
    progress.plan(settings.lam, _sizes(settings, workload), kept, worker.count_tokens())
    for lam, name in missing:
        progress.start_unit(lam, name, len(workload.tasks[name].instances))
        _keep(folder, (lam, name), *worker.evaluate(lam, name), progress)
    progress.close()


def _evaluate_on_cluster(
    folder: RunFolder,
    workload: Workload,
    missing: list[Place],
    progress: Progress,
    cluster: Cluster,
) -> None:
    """Evaluate on the workers of a Ray cluster; what they return is written here."""
    from pa_harness.sweep.ray_workers import evaluate

    settings = cluster.settings
    _check_cache(settings, "--executor ray: several workers")
    kept = set(_every(settings, workload)) - set(missing)
    progress.plan(settings.lam, _sizes(settings, workload), kept)
    for done in evaluate(cluster, missing, progress.note):
        folder.check_model(done.info)
        folder.check_prompts(done.place[1], done.prompts)
        progress.start_unit(*done.place, 1)
        _keep(folder, done.place, done.unit, done.log, progress)
    progress.close()


def _keep(folder: RunFolder, place: Place, unit: Unit, log: str, progress: Progress) -> None:
    write_text(folder.samples(*place), log)
    write_json(folder.unit(*place), unit)  # last: where it is, the unit is done
    progress.end_unit(_main_value(unit))


def _every(settings: SweepSettings, workload: Workload) -> list[Place]:
    """In the order in which they are evaluated."""
    return [(lam, name) for lam in visiting_order(settings.lam) for name in workload.tasks]


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
