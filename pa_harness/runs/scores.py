"""One number of an evaluation, with all that must be known to compare it with another.

lm-eval's results files stay as lm-eval writes them; `from_lm_eval` derives `Score` rows from them,
and everything that compares, plots or reports reads only those rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.lam.path import stages_of
from pa_harness.tasks.average import JUDGED, counted_as

if TYPE_CHECKING:
    from collections.abc import Mapping

DRAW = "@draw"  # in a task's name, before the number of a further draw of its demonstrations


@dataclass(frozen=True)
class Score:
    """One metric of one task at one λ.

    Undefined numbers are NaN, undefined texts empty. `value` and `stderr` are in the task's own
    unit (a fraction for accuracies), as lm-eval gives them.
    """

    task: str
    metric: str
    filter: str
    value: float
    stderr: float = math.nan
    n: int = 0  # documents
    num_fewshot: int = 0
    lam: float = math.nan
    lam_eff: float = math.nan
    base: str = ""
    instruct: str = ""  # or the adapter; of a longer path all that follow, " → " between them
    task_version: str = ""
    category: str = ""
    scoring: str = ""  # cf, mcf or gen
    counts_as: str = ""  # the task that this one is a part of in averages, or itself
    main: bool = False  # the metric that stands for the task in averages
    higher_is_better: bool = True
    random_baseline: float = math.nan  # the value of guessing
    chat_template: str = ""  # its name; empty for a raw prompt

    @property
    def key(self) -> str:
        """The metric as lm-eval writes it: ``metric,filter``."""
        return f"{self.metric},{self.filter}"


def from_lm_eval(results: Mapping[str, Any]) -> list[Score]:
    """The scores in a results dict (or file) of lm-eval, leaf tasks only, in its order.

    Args:
        results: as `simple_evaluate` returns it. λ is read from ``config.lam`` or the model
            arguments, never from a file name; task facts from the key ``pa_harness`` that a sweep
            adds, else from each task's ``metadata``.
    """
    config, model_args = _config(results)
    common = {
        "lam": lam_of(results),
        "lam_eff": _number(config.get("lam_eff")),
        "base": _side(config, "base") or str(model_args.get("pretrained", "")),
        "instruct": " → ".join(stage.name for stage in stages_of(model_args)[1:])
        or _side(config, "instruct")
        or _side(config, "peft"),
    }
    scores: list[Score] = []
    for task in results["results"]:
        if task in results["configs"]:  # a group has none
            scores += _of_task(task, results, common)
    return scores


def lam_of(results: Mapping[str, Any]) -> float:
    """λ of a results dict of lm-eval; NaN where it has none, or a schedule."""
    config, model_args = _config(results)
    return _number(config.get("lam", model_args.get("lam")))


def _config(results: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What was run, and the model arguments, where they are kept by name."""
    config = results.get("config") or {}
    model_args = config.get("model_args")
    return config, model_args if isinstance(model_args, dict) else {}


def main_metric(values: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """The metric that stands for a task: the one that is named, else its first.

    Args:
        values: lm-eval's results of the task.
        facts: of `task_facts`.

    Returns:
        ``metric,filter``; `JUDGED` where none of its own does; empty where it has no number.
    """
    keys, chosen = _metrics(values), facts.get("metric")
    return str(chosen) if chosen in (*keys, JUDGED) else next(iter(keys), "")


def _metrics(values: Mapping[str, Any]) -> list[str]:
    return [key for key in values if "," in key and "_stderr," not in key]


def task_facts(task: str, results: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a task beside its numbers: metadata, and over it what the sweep decided."""
    metadata = results["configs"][task].get("metadata")
    decided = ((results.get("pa_harness") or {}).get("tasks") or {}).get(task) or {}
    return {**(metadata if isinstance(metadata, dict) else {}), **decided}


def _of_task(task: str, results: Mapping[str, Any], common: dict[str, Any]) -> list[Score]:
    values = results["results"].get(task) or {}
    facts = task_facts(task, results)
    main = main_metric(values, facts)
    up = (results.get("higher_is_better") or {}).get(task) or {}
    count = ((results.get("n-samples") or {}).get(task) or {}).get("effective")
    scores = []
    for key in _metrics(values):
        metric, _, name = key.partition(",")
        scores.append(
            Score(
                task=task,
                metric=metric,
                filter=name,
                value=_number(values[key]),
                stderr=_number(values.get(f"{metric}_stderr,{name}")),
                n=int(values.get("sample_len") or count or 0),
                num_fewshot=int((results.get("n-shot") or {}).get(task) or 0),
                task_version=str((results.get("versions") or {}).get(task, "")),
                category=str(facts.get("category", "")),
                scoring=str(facts.get("scoring", "")),
                counts_as=counted_as(task, facts),
                main=key == main,
                higher_is_better=up.get(metric) is not False,
                random_baseline=_number(facts.get("random_baseline")),
                chat_template=str(facts.get("chat_template") or ""),
                **common,
            )
        )
    return scores


def _side(config: Mapping[str, Any], name: str) -> str:
    side = config.get(name)
    return str(side.get("name", "")) if isinstance(side, dict) else ""


def _number(value: object) -> float:
    """The value as a float; NaN for lm-eval's "N/A" and whatever else is no number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return math.nan
    return float(value) if isinstance(value, (int, float)) else math.nan
