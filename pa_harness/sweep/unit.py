"""One task at one λ through lm-eval.

A unit is evaluated alone, from the same seeds, so that its bytes do not depend on which others ran
before it in the same process.
"""

from __future__ import annotations

import json
import os
import random
import time
from typing import TYPE_CHECKING, Any

from pa_harness.runs.samples import Generation, document_values
from pa_harness.sweep.workload import forget_answers
from pa_harness.tasks.clusters import clusters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.runs.settings import SweepSettings

Unit = dict[str, Any]
Place = tuple[float, str]  # of a unit: its λ and task


def evaluate_unit(
    lm: Any, task: Any, facts: Mapping[str, Any], settings: SweepSettings
) -> tuple[Unit, str]:
    """Evaluate one task with the λ that is in place.

    Args:
        lm: whose weights have their λ.
        task: with its prompts built.
        facts: of `workload.facts`.
        settings: seeds, limit and the like.

    Returns:
        The unit, and the text of its sample log.
    """
    from lm_eval import evaluate

    began = time.monotonic()
    name = task.task_name
    forget_answers(task)
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
    values = document_values(samples, _generation(lm, task))
    info = lm.get_model_info()
    shared = info.pop("prefix_sharing", {})
    parts = ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples")
    unit = {
        **{part: found[part][name] for part in parts},
        "model": info,
        "prefix_sharing": {} if settings.use_cache else _without_process(shared),
        "tokenizer": _tokenizer(lm),
        "facts": dict(facts),
        "task_hash": _task_hash(samples),
        "documents": {
            "ids": values.ids,
            "values": values.values,
            "clusters": _clusters(task, samples, values.ids),
        },
        "seconds": time.monotonic() - began,
    }
    plain: Unit = json.loads(json.dumps(unit, default=_plain))
    return plain, "".join(_line(sample) for sample in samples)


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


def _generation(lm: Any, task: Any) -> Generation | None:
    if task.get_config("output_type") != "generate_until" or not hasattr(lm, "tok_encode"):
        return None
    limit = int(getattr(lm, "max_gen_toks", 256))
    return Generation(lambda text: len(lm.tok_encode(text, add_special_tokens=False)), limit)


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
    return json.dumps(logged, default=_plain, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    """What JSON has no form for; sets sorted, because their order changes with the process."""
    from lm_eval.utils import handle_non_serializable

    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return handle_non_serializable(value)
