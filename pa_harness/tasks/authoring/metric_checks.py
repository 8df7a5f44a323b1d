"""Checks of what a task measures, and of what a group averages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pa_harness.tasks.authoring.material import Finding
from pa_harness.tasks.choices import metrics_of_two, options_of_f1

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pa_harness.tasks.authoring.material import Material


def metric_names(task: Any) -> list[str]:
    """What a task measures, as results name it: ``metric,filter``."""
    metrics = [each["metric"] for each in task.config.metric_list or []]
    names = [each if isinstance(each, str) else each.__name__ for each in metrics]
    filters = [each["name"] for each in task.config.filter_list or [{"name": "none"}]]
    return [f"{name},{filter_}" for name in names for filter_ in filters]


def metric_findings(material: Material) -> Iterator[Finding]:
    """Metrics that fail when every answer is there, and shots that cannot be shown."""
    task = material.loaded.task
    most = options_of_f1(task, (document.choices for document in material.documents))
    if most:
        yield Finding(
            "error",
            f"the metric {metrics_of_two(task)[0]} is that of two options, of which one is 1; "
            f"there are up to {most}: it fails when all answers are there.",
            "Take acc, or an aggregation of your own: !function, with sklearn's f1_score(..., "
            "average='macro').",
        )
    several = [shot.number for shot in material.shots if len(shot.targets) > 1]
    if material.scored_by_choice and several:
        yield Finding(
            "error",
            f"the shots have several right options (the first: few-shot document {several[0]}), "
            "and lm-eval can show one only.",
            'Name one for shots, as in fewshot_config: {doc_to_target: "{{gold[0]}}"}, or set '
            "num_fewshot: 0.",
        )


def group_findings(group: Any, tasks: Mapping[str, Any]) -> list[Finding]:
    """What a group averages that its tasks do not measure.

    Args:
        group: lm-eval's.
        tasks: lm-eval's, by name; all that were loaded with it.
    """
    members = {each.task_name for each in group.get_all_tasks()}
    measured = {name: metric_names(task) for name, task in tasks.items() if name in members}
    found = []
    for each in group.aggregate_metric_list or []:
        filters = each.filter_list
        wanted = [filters] if isinstance(filters, str) else list(filters or ["none"])
        without = [
            name
            for name, keys in measured.items()
            if not any(f"{each.metric},{filter_}" in keys for filter_ in wanted)
        ]
        if without:
            keys = sorted({key for name in without for key in measured[name]})
            found.append(
                Finding(
                    "error",
                    f"it averages {each.metric} ({', '.join(wanted)}), which {len(without)} of its "
                    f"{len(measured)} tasks do not measure ({', '.join(without[:8])}): they are "
                    "left out of the average without a word, and where it is all of them the row "
                    "is empty.",
                    f"aggregate_metric_list: name what they measure: {', '.join(keys)}.",
                )
            )
    return found
