"""One task at one λ through lm-eval.

A unit is evaluated alone, from the same seeds, so that its bytes do not depend on which others ran
before it in the same process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.runs.identity import identity_digest, settings_part
from pa_harness.runs.samples import document_values
from pa_harness.runs.seal import text_digest
from pa_harness.sweep.repeated import add_repeats, averaged_metric
from pa_harness.sweep.sources import library_versions, plain, task_config
from pa_harness.sweep.workload import forget_answers
from pa_harness.tasks.clusters import clusters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.runs.samples import DocumentValues
    from pa_harness.runs.settings import SweepSettings

Unit = dict[str, Any]
Place = tuple[float, str]  # of a unit: its λ and task


@dataclass(frozen=True)
class Prepared:
    """A task that can be asked.

    Attributes:
        task: with its prompts built.
        facts: of `workload.facts`.
        digests: of `sources.task_digests`, and that of its prompts.
    """

    task: Any
    facts: Mapping[str, Any]
    digests: Mapping[str, Any]


def evaluate_unit(
    lm: Any, prepared: Prepared, settings: SweepSettings, lam: float
) -> tuple[Unit, str]:
    """Evaluate one task with the λ that is in place.

    Args:
        lm: whose weights have their λ.
        prepared: the task.
        settings: seeds, limit and the like.
        lam: the value of the sweep that is in place.

    Returns:
        The unit, and the text of its sample log.
    """
    from lm_eval import evaluate

    began = time.monotonic()
    task, facts = prepared.task, prepared.facts
    name = task.task_name
    forget_answers(task)
    _lengths(lm).clear()  # of the last unit, which a --use_cache file would leave there
    _seed(settings)
    os.environ.setdefault("DISABLE_MULTIPROC", "1")  # lm-eval's bootstrap would fork the model
    found = evaluate(
        lm,
        {"tasks": {name: task}, "groups": {}},
        limit=settings.limit,
        samples=settings.samples,
        bootstrap_iters=settings.bootstrap_iters,
        log_samples=True,
        system_instruction=settings.system_instruction,
        apply_chat_template=bool(facts["chat_template"]),
        confirm_run_unsafe_code=settings.confirm_run_unsafe_code,
    )
    samples = found["samples"][name]
    values = _values(prepared, found, samples, _lengths(lm), settings)
    info = lm.get_model_info()
    shared = info.pop("prefix_sharing", {})
    parts = ("results", "versions", "n-shot", "higher_is_better", "n-samples")
    log = "".join(_line(sample) for sample in samples)
    unit = {
        "identity": _identity(prepared, settings, lam, samples),
        **{part: found[part][name] for part in parts},
        "configs": task_config(task),
        "model": info,
        "prefix_sharing": {} if settings.use_cache else _without_process(shared),
        "tokenizer": _tokenizer(lm),
        "facts": _facts(prepared, found["results"][name], settings),
        "task_hash": _task_hash(samples),
        "documents": vars(values),
        "log": text_digest(log),
        "seconds": time.monotonic() - began,
    }
    made: Unit = json.loads(json.dumps(unit, default=plain))
    made["identity"]["digest"] = identity_digest(made)
    return made, log


def _identity(
    prepared: Prepared, settings: SweepSettings, lam: float, samples: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the unit is of, beside what stands in other entries of it."""
    name = prepared.task.task_name
    return {
        "lam": lam,
        "task": name,
        "settings": settings_part(settings, name),
        "versions": library_versions(),
        "task_is": {**prepared.digests, "targets": _targets(samples)},
    }


def _values(
    prepared: Prepared,
    found: dict[str, Any],
    samples: list[dict[str, Any]],
    lengths: Mapping[str, Any],
    settings: SweepSettings,
) -> DocumentValues:
    """The numbers of every document; what several answers make also into lm-eval's results."""
    task = prepared.task
    values = document_values(samples, lengths)
    values.clusters = _clusters(task, samples, values.ids)
    if _is_repeated(task, settings):
        name = task.task_name
        add_repeats(task, found["results"][name], found["higher_is_better"][name], values)
    return values


def _is_repeated(task: Any, settings: SweepSettings) -> bool:
    return settings.repeats is not None and task.get_config("output_type") == "generate_until"


def _facts(
    prepared: Prepared, results: Mapping[str, Any], settings: SweepSettings
) -> dict[str, Any]:
    """The task's; of several answers their mean stands for it."""
    facts = dict(prepared.facts)
    if settings.repeats is not None and _is_repeated(prepared.task, settings):
        facts["metric"] = averaged_metric(results, facts, settings.repeats)
    return facts


def _lengths(lm: Any) -> dict[str, Any]:
    """Where the model notes the lengths of its answers; nowhere, if it does not."""
    found: dict[str, Any] = getattr(getattr(lm, "answer_lengths", None), "found", {})
    return found


def _targets(samples: list[dict[str, Any]]) -> str:
    """A digest of the right answers."""
    sha = hashlib.sha256()
    for sample in samples:
        sha.update(json.dumps([sample["doc_id"], sample["target"]], default=plain).encode())
    return sha.hexdigest()[:32]


def _clusters(task: Any, samples: list[dict[str, Any]], ids: list[int]) -> list[str]:
    """The cluster of each document."""
    documents = {int(sample["doc_id"]): sample["doc"] for sample in samples}
    return clusters(task, [documents[number] for number in ids])


def _without_process(shared: Mapping[str, Any]) -> dict[str, Any]:
    """What was computed for a unit, without what depends on the process that did it.

    The number of passes goes with the memory that was free; a resumed sweep must not differ.
    """
    found = {name: value for name, value in shared.items() if name != "peak_memory_bytes"}
    for name, counts in found.items():
        if isinstance(counts, dict):
            found[name] = {key: count for key, count in counts.items() if key != "passes"}
    return found


def _seed(settings: SweepSettings) -> None:
    """lm-eval seeds once per run; a unit that is run alone must meet the same state."""
    import numpy as np
    from lm_eval.utils import set_torch_seed

    python, numpy, torch, _ = settings.seed
    if python is not None:
        random.seed(python)
    if numpy is not None:
        np.random.seed(numpy)
    if torch is not None:
        set_torch_seed(torch)
    _seed_language_detection()


def _seed_language_detection() -> None:
    """IFEval's checks of languages draw from a generator of langdetect's own.

    Seeded so, each text is judged by itself: equal answers pass or fail alike at every λ.
    """
    with contextlib.suppress(ImportError):
        from langdetect import DetectorFactory

        DetectorFactory.seed = 0


def _tokenizer(lm: Any) -> dict[str, Any]:
    from lm_eval.loggers.utils import add_tokenizer_info

    found: dict[str, Any] = {}
    add_tokenizer_info(found, lm)
    return found


def _task_hash(samples: list[dict[str, Any]]) -> str:
    from lm_eval.utils import hash_string

    parts = (each["doc_hash"] + each["prompt_hash"] + each["target_hash"] for each in samples)
    return str(hash_string("".join(parts)))


def _line(sample: dict[str, Any]) -> str:
    """A line of lm-eval's sample log: requests by name, answers and target as texts."""
    from lm_eval.utils import sanitize_list

    logged = dict(sample)
    logged["resps"] = sanitize_list(sample["resps"])
    logged["filtered_resps"] = sanitize_list(sample["filtered_resps"])
    logged["arguments"] = {
        f"gen_args_{number}": {f"arg_{place}": value for place, value in enumerate(request)}
        for number, request in enumerate(sample["arguments"])
    }
    logged["target"] = str(sample["target"])
    return json.dumps(logged, default=plain, ensure_ascii=False) + "\n"
