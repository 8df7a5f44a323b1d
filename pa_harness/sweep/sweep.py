"""The sweep: one model load, tasks and prompts once, λ set in place, every unit kept."""

from __future__ import annotations

import tempfile
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness import __version__, processes
from pa_harness.errors import SweepError
from pa_harness.runs.documents import write_documents
from pa_harness.runs.folder import RunFolder, read_json
from pa_harness.runs.scores import Score, from_lm_eval, write_scores
from pa_harness.storage import sole_writer, write_json, write_text
from pa_harness.sweep.unit import assemble, unit_documents
from pa_harness.sweep.worker import UnitWorker
from pa_harness.sweep.workload import documents, load_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pa_harness.runs.samples import DocumentValues
    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.cluster import Cluster
    from pa_harness.sweep.progress import Progress
    from pa_harness.sweep.workload import Workload

Unit = tuple[float, str]  # λ and task
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
    if processes.count() > 1:
        _check_processes(settings)
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
        scores = []
        for lam in settings.lam:
            scores += _finish_lam(folder, settings, workload, lam)
        write_documents(_documents(folder, settings, workload), folder.documents_file)
        write_scores(scores, folder.scores_file)  # last: where it is, the sweep is complete
    return scores


def _help(settings: SweepSettings, progress: Progress) -> None:
    """Do what the first of several processes does, for its model calls; keep nothing."""
    missing = processes.agree(None)
    if missing:
        with tempfile.TemporaryDirectory() as place:
            folder = RunFolder(Path(place))
            folder.open_(settings, {"versions": {}})
            _evaluate(folder, settings, load_tasks(settings), missing, progress)


def _check_processes(settings: SweepSettings) -> None:
    if settings.use_cache is not None:
        raise SweepError(
            f"use_cache={settings.use_cache} with {processes.count()} processes: they would write "
            "to one file. Leave it out: a sweep keeps its finished units itself."
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


def _missing(folder: RunFolder, settings: SweepSettings, workload: Workload) -> list[Unit]:
    units = [(lam, task) for lam in settings.lam for task in workload.tasks]
    return [unit for unit in units if not folder.unit(*unit).exists()]


def _evaluate(
    folder: RunFolder,
    settings: SweepSettings,
    workload: Workload,
    missing: list[Unit],
    progress: Progress,
) -> None:
    """Evaluate in this process."""
    progress.note(f"Loading {settings.model} ...")
    worker = UnitWorker(settings, workload, missing[0][0], progress.answered)
    folder.check_model(worker.info)
    sizes = dict.fromkeys(workload.tasks, 0)
    for name in workload.tasks:
        if any(name == task_name for _, task_name in missing):
            folder.check_prompts(name, worker.prompts(name))
            sizes[name] = len({each.doc_id for each in workload.tasks[name].instances})
        else:
            unit = read_json(folder.unit(settings.lam[0], name))
            sizes[name] = len(unit_documents(unit).ids)
    done = _every(settings, workload) - set(missing)
    progress.plan(settings.lam, sizes, done, worker.count_tokens())
    for lam, name in missing:
        progress.start_unit(lam, name, len(workload.tasks[name].instances))
        _keep(folder, (lam, name), *worker.evaluate(lam, name), progress)
    progress.close()


def _evaluate_on_cluster(
    folder: RunFolder,
    workload: Workload,
    missing: list[Unit],
    progress: Progress,
    cluster: Cluster,
) -> None:
    """Evaluate on the workers of a Ray cluster; what they return is written here."""
    from pa_harness.sweep.ray_workers import evaluate

    settings = cluster.settings
    if settings.use_cache is not None:
        raise SweepError(
            f"use_cache={settings.use_cache} with --executor ray: several workers would write to "
            "one file. Leave it out: a sweep keeps its finished units itself."
        )
    sizes = {name: documents(task, settings) for name, task in workload.tasks.items()}
    progress.plan(settings.lam, sizes, _every(settings, workload) - set(missing))
    for done in evaluate(cluster, missing, progress.note):
        folder.check_model(done.info)
        folder.check_prompts(done.place[1], done.prompts)
        progress.start_unit(*done.place, 1)
        _keep(folder, done.place, done.unit, done.log, progress)
    progress.close()


def _keep(
    folder: RunFolder, place: Unit, unit: dict[str, Any], log: str, progress: Progress
) -> None:
    write_text(folder.samples(*place), log)
    write_json(folder.unit(*place), unit)  # last: where it is, the unit is done
    progress.end_unit(_main_value(unit))


def _every(settings: SweepSettings, workload: Workload) -> set[Unit]:
    return {(lam, name) for lam in settings.lam for name in workload.tasks}


def _finish_lam(
    folder: RunFolder, settings: SweepSettings, workload: Workload, lam: float
) -> list[Score]:
    """Write lm-eval's results file of one λ, from the units' files alone; return its scores."""
    units = {task: read_json(folder.unit(lam, task)) for task in workload.tasks}
    record = folder.provenance()
    first = next(iter(units.values()))
    results = assemble(units, workload)
    results["config"] = {
        "model": settings.model,
        "model_args": {**settings.model_args, "lam": lam},
        **first["model"],
        **_execution(settings),
    }
    if settings.knob is not None:
        results["config"] |= {"lam": lam, "knob": settings.knob}
    results |= {
        **record["environment"],
        **first["tokenizer"],
        "date": datetime.fromisoformat(record["started"]).timestamp(),
        "model_source": settings.model,
        "model_name": first["model"].get("model", settings.model),
        "system_instruction": settings.system_instruction,
        "total_evaluation_time_seconds": str(sum(unit["seconds"] for unit in units.values())),
        "pa_harness": {
            "tasks": {task: unit["facts"] for task, unit in units.items()},
            # Absent in units of sweeps that were begun before it was kept.
            "prefix_sharing": {t: unit.get("prefix_sharing", {}) for t, unit in units.items()},
        },
    }
    write_json(folder.results(lam), results)
    return from_lm_eval(results)


def _execution(settings: SweepSettings) -> dict[str, Any]:
    """What lm-eval writes of the run itself into `config`."""
    python, numpy, torch, fewshot = settings.seed
    return {
        "batch_size": settings.batch_size,
        "batch_sizes": [],
        "device": settings.device,
        "use_cache": settings.use_cache,
        "limit": settings.limit,
        "bootstrap_iters": settings.bootstrap_iters,
        "gen_kwargs": settings.gen_kwargs or None,
        **{"random_seed": python, "numpy_seed": numpy, "torch_seed": torch},
        "fewshot_seed": fewshot,
    }


def _documents(
    folder: RunFolder, settings: SweepSettings, workload: Workload
) -> Iterator[tuple[float, str, DocumentValues]]:
    for lam in settings.lam:
        for task in workload.tasks:
            yield lam, task, unit_documents(read_json(folder.unit(lam, task)))


def _main_value(unit: dict[str, Any]) -> str:
    """The first metric, or the chosen one, for the progress display."""
    values = unit["results"]
    keys = [key for key in values if "," in key and "_stderr," not in key]
    chosen = unit["facts"].get("metric")
    key = chosen if chosen in keys else next(iter(keys), "")
    value = values.get(key)
    return f"{key.split(',')[0]} {value:.4f}" if isinstance(value, float) else key
