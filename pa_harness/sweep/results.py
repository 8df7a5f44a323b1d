"""What a finished sweep leaves, from its units' files alone: lm-eval's results, and two tables."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pa_harness.runs.documents import write_documents
from pa_harness.runs.samples import DocumentValues
from pa_harness.runs.scores import from_lm_eval
from pa_harness.runs.seal import read_sealed
from pa_harness.storage import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pa_harness.runs.folder import RunFolder
    from pa_harness.runs.scores import Score
    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.unit import Unit
    from pa_harness.sweep.workload import Workload


def write_results(folder: RunFolder, settings: SweepSettings, workload: Workload) -> list[Score]:
    """Write lm-eval's results file of every λ, and the tables of documents and scores.

    Args:
        folder: with all units done.
        settings: of the sweep.
        workload: its tasks and groups.

    Returns:
        The scores.
    """
    scores: list[Score] = []
    for lam in settings.lam:
        scores += _finish_lam(folder, settings, workload, lam)
    write_documents(_documents(folder, settings, workload), folder.documents_file)
    folder.write_scores(scores)
    return scores


def _finish_lam(
    folder: RunFolder, settings: SweepSettings, workload: Workload, lam: float
) -> list[Score]:
    """Write lm-eval's results file of one λ, from the units' files alone; return its scores."""
    units = {task: read_sealed(folder.unit(lam, task)) for task in workload.tasks}
    record = folder.provenance()
    first = next(iter(units.values()))
    results = _assembled(units, workload)
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
            "identity": {task: unit["identity"]["digest"] for task, unit in units.items()},
            "prefix_sharing": {task: unit["prefix_sharing"] for task, unit in units.items()},
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


def _assembled(units: Mapping[str, Unit], workload: Workload) -> dict[str, Any]:
    """The units of one λ in lm-eval's schema, with the groups' aggregates."""
    from lm_eval.evaluator_utils import EvalAcc, aggregate_groups

    every = EvalAcc(groups=workload.groups)
    for task, unit in units.items():
        every.metrics[task] = unit["results"]
        every.configs[task] = unit["configs"]
        every.versions[task] = unit["versions"]
        every.num_fewshot[task] = unit["n-shot"]
        every.higher_is_better[task] = unit["higher_is_better"]
        every.n_samples[task] = unit["n-samples"]
    averaged = aggregate_groups(every)
    schema: dict[str, Any] = dict(
        averaged._to_eval_results()  # noqa: SLF001 -- lm-eval's schema has no public maker
    )
    schema["task_hashes"] = {task: unit["task_hash"] for task, unit in units.items()}
    return schema


def _documents(
    folder: RunFolder, settings: SweepSettings, workload: Workload
) -> Iterator[tuple[float, str, DocumentValues]]:
    for lam in settings.lam:
        for task in workload.tasks:
            values = read_sealed(folder.unit(lam, task))["documents"]
            yield lam, task, DocumentValues(**values)
