"""Folders of `lm_eval --log_samples`, as the writers of 0.4.5 to 0.4.13 made them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from lm_eval.loggers.evaluation_tracker import EvaluationTracker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def documents(count: int, passage: int = 0, **more: Any) -> list[dict[str, Any]]:
    """Documents, `passage` of them on one text; 0: each stands alone."""
    found = []
    for number in range(count):
        document = {"question": f"What is {number}?", "target": 'a "quoted" word', **more}
        if passage:
            document["passage"] = f"Once upon a time {number // passage} " + "it rained. " * 12
        found.append(document)
    return found


def samples(
    docs: Sequence[dict[str, Any]],
    values: Mapping[tuple[str, str], Sequence[Any]],
    prompt: str = "{question}",
    old: bool = False,
) -> list[dict[str, Any]]:
    """Samples as `evaluate` makes them.

    Args:
        docs: the documents.
        values: by metric and filter.
        prompt: template of what is asked.
        old: as before 0.4.8: without filter and metrics.
    """
    made = []
    for name in dict.fromkeys(name for _, name in values):
        metrics = [metric for metric, of in values if of == name]
        for number, document in enumerate(docs):
            asked = prompt.format(**document)
            sample = {
                "doc_id": number,
                "doc": document,
                "target": 0,
                "arguments": [(asked, " yes"), (asked, " no")],
                "resps": [[(-1.5, True)], [(-2.5, False)]],
                "filtered_resps": [(-1.5, True), (-2.5, False)],
                **({} if old else {"filter": name, "metrics": metrics}),
                "doc_hash": _hash(json.dumps(document, indent=2, ensure_ascii=False)),
                "prompt_hash": _hash(asked),
                "target_hash": _hash("0"),
                **{metric: values[metric, name][number] for metric in metrics},
            }
            made.append(sample)
    return made


def write(
    folder: Path,
    tasks: Mapping[str, Sequence[dict[str, Any]]],
    *,
    shots: int = 0,
    version: float = 1.0,
    model: str = "small/model",
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """The folder, written by lm-eval's own tracker.

    Args:
        folder: new.
        tasks: samples of each.
        shots: of all tasks.
        version: of all tasks.
        model: its name.
        metadata: of all tasks.
    """
    sections: dict[str, dict[str, Any]] = {
        name: {} for name in ("results", "configs", "versions", "n-shot", "higher_is_better")
    }
    for task, found in tasks.items():
        sums: dict[str, list[float]] = {}
        standing = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter"}
        standing |= {"metrics", "doc_hash", "prompt_hash", "target_hash"}
        filters = ["strict", "loose"] if "filter" not in found[0] else []
        seen: dict[int, int] = {}
        for sample in found:
            place = seen[sample["doc_id"]] = seen.get(sample["doc_id"], -1) + 1
            name = sample.get("filter") or filters[place]
            for metric in sample.keys() - standing:
                sums.setdefault(f"{metric},{name}", []).append(float(sample[metric]))
        sections["results"][task] = {"alias": task} | {k: sum(v) / len(v) for k, v in sums.items()}
        sections["configs"][task] = {"task": task, "metadata": dict(metadata or {})}
        sections["versions"][task], sections["n-shot"][task] = version, shots
        sections["higher_is_better"][task] = {k.split(",")[0]: "loss" not in k for k in sums}
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.model_name_sanitized = model.replace("/", "__")
    tracker.general_config_tracker.model_name = model
    config = {"model": "hf", "model_args": {"pretrained": model}}
    every = {task: [dict(sample) for sample in found] for task, found in tasks.items()}
    tracker.save_results_aggregated({**sections, "config": config, "date": 1.0}, every)
    for task, found in every.items():
        tracker.save_results_samples(task, found)
    return folder


def answers(folder: Path, values: Sequence[float], passage: int = 0, **more: Any) -> Path:
    """A folder with one task, ``quiz``, of these values of acc."""
    docs = documents(len(values), passage)
    return write(folder, {"quiz": samples(docs, {("acc", "none"): values})}, **more)
