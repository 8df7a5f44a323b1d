"""The sweep: one model load, tasks and prompts once, λ set in place, every unit kept."""

from __future__ import annotations

import os
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness import __version__
from pa_harness.errors import SweepError
from pa_harness.evaluation import (
    QuietModel,
    assemble,
    count_tokens,
    evaluate_unit,
    unit_documents,
)
from pa_harness.folder import RunFolder, read_json
from pa_harness.scores import Score, from_lm_eval, read_scores, write_scores
from pa_harness.settings import model_lam
from pa_harness.storage import sole_writer, write_json, write_text
from pa_harness.value_table import write_documents
from pa_harness.workload import build_prompts, facts, load_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pa_harness.progress import Progress
    from pa_harness.samples import DocumentValues
    from pa_harness.settings import SweepSettings
    from pa_harness.workload import Workload

_LIBRARIES = ("lm_eval", "transformers", "torch", "datasets", "numpy")


def sweep(
    settings: SweepSettings, path: Path, progress: Progress, command: str = ""
) -> list[Score]:
    """Evaluate every task at every λ, or what is missing of it; write the run folder.

    Args:
        settings: what to do.
        path: the run folder; one that holds a part of the same sweep is completed.
        progress: is told how far it is.
        command: that began the sweep, for its record.

    Returns:
        The scores, as in the folder's table.

    Raises:
        SweepError: the model or the tasks cannot be swept.
        RunError: the folder is in use, or holds something else.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))  # of accelerate and torchrun
    if processes > 1:
        raise SweepError(
            f"The sweep was started as {processes} processes; it runs in one. For several devices "
            "give parallelize=True in --model_args."
        )
    with sole_writer(path, "a sweep"):
        folder = RunFolder(path)
        folder.open_(settings, _provenance(folder, command))
        if folder.scores_file.exists():
            return read_scores(folder.scores_file)
        workload = load_tasks(settings)
        missing = _missing(folder, settings, workload)
        if missing:
            _evaluate(folder, settings, workload, progress)
        scores = []
        for lam in settings.lam:
            scores += _finish_lam(folder, settings, workload, lam)
        write_documents(_documents(folder, settings, workload), folder.documents_file)
        write_scores(scores, folder.scores_file)  # last: where it is, the sweep is complete
    return scores


def _provenance(folder: RunFolder, command: str) -> dict[str, Any]:
    """What a sweep runs under: versions, which it must keep; machine and command."""
    versions = {"pa_harness": __version__, **{name: version(name) for name in _LIBRARIES}}
    if folder.scores_file.exists():
        return {"versions": versions}
    from lm_eval.loggers.utils import add_env_info, get_commit_from_path

    environment: dict[str, Any] = {"git_hash": get_commit_from_path(Path.cwd())}
    add_env_info(environment)
    return {"versions": versions, "command": command, "environment": environment}


def _missing(
    folder: RunFolder, settings: SweepSettings, workload: Workload
) -> list[tuple[float, str]]:
    units = [(lam, task) for lam in settings.lam for task in workload.tasks]
    return [unit for unit in units if not folder.unit(*unit).exists()]


def _evaluate(
    folder: RunFolder, settings: SweepSettings, workload: Workload, progress: Progress
) -> None:
    missing = _missing(folder, settings, workload)
    progress.note(f"Loading {settings.model} ...")
    lm = _load_model(settings, missing[0][0])
    folder.check_model(lm.get_model_info())
    quiet = QuietModel(lm, progress.answered)
    answering = _with_cache(quiet, settings)
    known = {name: facts(name, task, settings) for name, task in workload.tasks.items()}
    sizes: dict[str, int] = {}
    for name, task in workload.tasks.items():
        if any(name == task_name for _, task_name in missing):
            digest = build_prompts(task, settings, lm, known[name]["chat_template"])
            folder.check_prompts(name, digest)
            sizes[name] = len({instance.doc_id for instance in task.instances})
        else:
            unit = read_json(folder.unit(settings.lam[0], name))
            sizes[name] = len(unit_documents(unit).ids)
    every = {(lam, name) for lam in settings.lam for name in workload.tasks}
    progress.plan(settings.lam, sizes, every - set(missing), count_tokens(lm))
    for lam, name in missing:
        wanted = model_lam(settings, lam)
        if lm.lam != wanted:
            lm.set_lam(wanted)
        task = workload.tasks[name]
        progress.start_unit(lam, name, len(task.instances))
        unit, log = evaluate_unit(answering, task, known[name], settings)
        write_text(folder.samples(lam, name), log)
        write_json(folder.unit(lam, name), unit)  # last: where it is, the unit is done
        progress.end_unit(_main_value(unit))
    progress.close()


def _load_model(settings: SweepSettings, lam: float) -> Any:
    """The model object at its first λ, through lm-eval's registry."""
    import lm_eval.models  # noqa: F401 -- fills the registry
    from lm_eval.api.registry import get_model

    try:
        cls = get_model(settings.model)
    except (ValueError, KeyError) as error:
        raise SweepError(f"--model {settings.model}: {error}") from None
    if not hasattr(cls, "set_lam"):
        raise SweepError(
            f"--model {settings.model} has no λ to set ({cls.__name__} has no set_lam). Sweep "
            "partially_adapted, or a model class with set_lam(lam) and lam."
        )
    options = {
        "batch_size": settings.batch_size,
        "max_batch_size": settings.max_batch_size,
        "device": settings.device,
    }
    extra = {"trust_remote_code": True} if settings.trust_remote_code else {}
    arguments = {**settings.model_args, **extra, "lam": model_lam(settings, lam)}
    return cls.create_from_arg_obj(arguments, options)


def _with_cache(lm: QuietModel, settings: SweepSettings) -> Any:
    if settings.use_cache is None:
        return lm
    from lm_eval.api.model import CachingLM

    return CachingLM(lm, f"{settings.use_cache}_rank0.db")


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
