"""Every Eval Ever, the EvalEval coalition's schema for results of any program: read and written.

Schema: github.com/evaleval/every_eval_ever, ``every_eval_ever/schemas/eval.schema.json``, 0.3.0.
What it has no field for stands as text in ``additional_details``, which it allows anywhere.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError, first_line
from pa_harness.foreign.reading import MALFORMED
from pa_harness.interchange.names import between
from pa_harness.interchange.reported import Reported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SCHEMA_VERSION = "0.3.0"
_ARCHIVE = {  # names in the archive of the Open LLM Leaderboard v2 -> lm-eval's
    "IFEval": "leaderboard_ifeval",
    "BBH": "leaderboard_bbh",
    "MATH Level 5": "leaderboard_math_hard",
    "GPQA": "leaderboard_gpqa",
    "MUSR": "leaderboard_musr",
    "MMLU-PRO": "leaderboard_mmlu_pro",
}
_FRACTIONS = (  # how the names of metrics begin whose values are from 0 to 1
    *("acc", "exact_match", "em", "f1", "entity_f1", "prompt_level", "inst_level"),
    *("win_rate", "length_controlled_winrate", "discrete_win_rate"),
)
_CANONICAL = {"acc": "accuracy", "exact_match": "exact-match", "f1": "f1"}  # the registry's ids


def is_every_eval_ever(content: Any) -> bool:
    """Whether it looks like a record of the schema."""
    return isinstance(content, dict) and {"schema_version", "evaluation_results"} <= content.keys()


def read_record(content: Mapping[str, Any], path: Path) -> list[Reported]:
    """The numbers of a record; settings that it does not state stay unknown.

    Raises:
        RunError: it lacks what the schema requires.
    """
    try:
        found = [_read(result, content, path) for result in content["evaluation_results"]]
    except MALFORMED as error:
        raise RunError(
            f"{path} is no whole Every Eval Ever record ({type(error).__name__}: "
            f"{first_line(error)}). Expected its schema {SCHEMA_VERSION}."
        ) from None
    if not found:
        raise RunError(f"{path}: the Every Eval Ever record holds no result.")
    return found


def _read(result: Mapping[str, Any], record: Mapping[str, Any], path: Path) -> Reported:
    model = record["model_info"]
    of_model = model.get("additional_details") or {}
    metric = result["metric_config"]
    details = result["score_details"].get("details") or {}
    unit = 100 if metric.get("max_score") == 100 or metric.get("metric_unit") == "percent" else 1
    uncertainty = result["score_details"].get("uncertainty") or {}
    stderr = (uncertainty.get("standard_error") or {}).get("value", math.nan)
    archive = (record.get("source_metadata") or {}).get("source_name") == "HF Open LLM v2"
    name = str(result["evaluation_name"])
    shots = details.get("num_fewshot", "")
    number = Reported(
        model=str(model["id"]),
        base=str(of_model.get("base", "")),
        instruct=str(of_model.get("instruct", "")),
        lam=float(of_model.get("lam", math.nan)),
        way=str(of_model.get("way", "")),
        parameters=float(of_model.get("params_billions", math.nan)) * 1e9,
        precision=str(of_model.get("precision", "")),
        task=_ARCHIVE.get(name, name) if archive else name,
        metric=str(details.get("lm_eval_metric") or metric.get("metric_id") or ""),
        value=float(result["score_details"]["score"]) / unit,
        stderr=float(stderr) / unit,
        n=int(uncertainty.get("num_samples", 0)),
        num_fewshot=int(shots) if shots != "" else None,
        version=str(details.get("task_version", "")),
        chat_template=str(details.get("chat_template", "")),
        limit=float(details.get("limit", 0)),
        main=details.get("main", "yes") == "yes",
        higher_is_better=not metric["lower_is_better"],
        date=str(record.get("evaluation_timestamp", "")),
        source=str(path),
    )
    if not number.adapted:
        return number
    return replace(number, model=between(number.base, number.instruct, number.place))


def record(
    model: Mapping[str, Any],
    numbers: Sequence[Reported],
    datasets: Mapping[str, Mapping[str, Any]],
    library: str,
    run: str,
) -> dict[str, Any]:
    """One model's numbers as a record of the schema.

    Args:
        model: ``name``, ``id`` and further texts about it.
        numbers: of this model; NaN values are left out.
        datasets: task -> lm-eval's configuration of it.
        library: lm-eval's version.
        run: the sweep's start as seconds since 1970; makes the record the same at every export.
    """
    extra = {key: str(value) for key, value in model.items() if key not in ("name", "id")}
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"pa_harness/{str(model['id']).replace('/', '_')}/{run}",
        "evaluation_timestamp": run,
        "retrieved_timestamp": run,
        "source_metadata": {
            "source_name": "pa-harness",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "lm-evaluation-harness", "version": library},
        "model_info": {
            "name": model["name"],
            "id": model["id"],
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "unknown",
                **extra,
            },
        },
        "evaluation_results": [
            _result(each, datasets.get(each.task) or {})
            for each in numbers
            if not math.isnan(each.value)
        ],
    }


def _result(number: Reported, config: Mapping[str, Any]) -> dict[str, Any]:
    name = number.metric.partition(",")[0]
    bounded = name.startswith(_FRACTIONS)
    uncertainty: dict[str, Any] = {}
    if not math.isnan(number.stderr):
        uncertainty["standard_error"] = {"value": number.stderr}
    if number.n:
        uncertainty["num_samples"] = number.n
    return {
        "evaluation_result_id": f"{number.task}/{number.metric}",
        "evaluation_name": number.task,
        "source_data": source_data(number.task, config),
        "metric_config": {
            "metric_id": _CANONICAL.get(name, f"lm_eval.{name}"),
            "metric_name": name,
            "metric_unit": "proportion" if bounded else "points",
            "lower_is_better": not number.higher_is_better,
            "score_type": "continuous",
            "min_score": 0.0 if bounded else "-Infinity",
            "max_score": 1.0 if bounded else "Infinity",
        },
        "score_details": {
            "score": number.value,
            "uncertainty": uncertainty,
            "details": {
                "lm_eval_metric": number.metric,
                "num_fewshot": "" if number.num_fewshot is None else str(number.num_fewshot),
                "task_version": number.version,
                "chat_template": number.chat_template,
                "limit": f"{number.limit:g}",
                "main": "yes" if number.main else "no",
            },
        },
    }


def source_data(task: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The data set of a task: of the hub where lm-eval's configuration names one there."""
    path = str(config.get("dataset_path") or "")
    kwargs = config.get("dataset_kwargs") or {}
    if path.count("/") != 1 or path.startswith((".", "/")) or "data_files" in kwargs:
        return {"dataset_name": task, "source_type": "other"}
    details = {"config": config.get("dataset_name"), "revision": kwargs.get("revision")}
    return {
        "dataset_name": path,
        "source_type": "hf_dataset",
        "hf_repo": path,
        "hf_split": str(config.get("test_split") or config.get("validation_split") or ""),
        "additional_details": {name: str(text) for name, text in details.items() if text},
    }
