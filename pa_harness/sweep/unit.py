"""One task at one λ through lm-eval, and all units of one λ as lm-eval's own results file.

A unit is evaluated alone, from the same seeds, so that its bytes do not depend on which others ran
before it in the same process.
"""

from __future__ import annotations

import json
import os
import random
import time
from typing import TYPE_CHECKING, Any

from pa_harness.runs.samples import DocumentValues, Generation, document_values
from pa_harness.sweep.workload import forget_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.workload import Workload

Unit = dict[str, Any]


class QuietModel:
    """lm-eval's model object without its progress bars, counting answers."""

    def __init__(self, lm: Any, answered: Callable[[], None]) -> None:
        self._lm = lm
        lm.set_cache_hook(_Counter(getattr(lm, "cache_hook", None), answered))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lm, name)

    def set_cache_hook(self, hook: Any) -> None:
        """Put lm-eval's answer cache behind the counter."""
        self._lm.set_cache_hook(_Counter(hook, self._lm.cache_hook.answered))

    def loglikelihood(self, requests: list[Any]) -> Any:
        """As the model's, silently."""
        return self._lm.loglikelihood(requests, disable_tqdm=True)

    def loglikelihood_rolling(self, requests: list[Any]) -> Any:
        """As the model's, silently."""
        return self._lm.loglikelihood_rolling(requests, disable_tqdm=True)

    def generate_until(self, requests: list[Any]) -> Any:
        """As the model's, silently."""
        return self._lm.generate_until(requests, disable_tqdm=True)


def count_tokens(lm: Any) -> Callable[[], int] | None:
    """Count the tokens that go through a model from now on, padding included.

    Returns:
        What gives the count so far; None for a model that is no torch module.
    """
    register = getattr(getattr(lm, "model", None), "register_forward_pre_hook", None)
    if register is None:
        return None
    sizes: list[int] = [0]

    def count(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        tokens = named.get("input_ids", given[0] if given else None)
        sizes[0] += 0 if tokens is None else tokens.numel()

    register(count, with_kwargs=True)
    return lambda: sizes[0]


class _Counter:
    """Stands where lm-eval's models report each answer to a cache."""

    def __init__(self, inner: Any, answered: Callable[[], None]) -> None:
        self._inner, self.answered = inner, answered

    @property
    def dbdict(self) -> Any:
        return getattr(self._inner, "dbdict", None)

    def add_partial(self, attribute: str, request: Any, result: Any) -> None:
        self.answered()
        if self._inner is not None:
            self._inner.add_partial(attribute, request, result)


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
        "documents": {"ids": values.ids, "values": values.values},
        "seconds": time.monotonic() - began,
    }
    plain: Unit = json.loads(json.dumps(unit, default=_plain))
    return plain, "".join(_line(sample) for sample in samples)


def _without_process(shared: Mapping[str, Any]) -> dict[str, Any]:
    """What was computed for a unit, without what depends on the process that did it.

    The number of passes goes with the memory that was free; a resumed sweep must not differ.
    """
    found = {name: value for name, value in shared.items() if name != "peak_memory_bytes"}
    for name, counts in found.items():
        if isinstance(counts, dict):
            found[name] = {key: count for key, count in counts.items() if key != "passes"}
    return found


def unit_documents(unit: Unit) -> DocumentValues:
    """The values by document of a unit as it was read from its file."""
    return DocumentValues(unit["documents"]["ids"], unit["documents"]["values"])


def assemble(units: Mapping[str, Unit], workload: Workload) -> dict[str, Any]:
    """The units of one λ in lm-eval's schema, with the groups' aggregates.

    Args:
        units: by task, as read from their files.
        workload: its groups.

    Returns:
        results, groups, group_subtasks, configs, versions, n-shot, higher_is_better, n-samples,
        task_hashes.
    """
    from lm_eval.evaluator_utils import EvalAcc, aggregate_groups

    every = EvalAcc(groups=workload.groups)
    for task, unit in units.items():
        every.metrics[task] = unit["results"]
        every.configs[task] = unit["configs"]
        every.versions[task] = unit["versions"]
        every.num_fewshot[task] = unit["n-shot"]
        every.higher_is_better[task] = unit["higher_is_better"]
        every.n_samples[task] = unit["n-samples"]
    measured = aggregate_groups(every)
    schema: dict[str, Any] = dict(
        measured._to_eval_results()  # noqa: SLF001 -- lm-eval's schema has no public maker
    )
    schema["task_hashes"] = {task: unit["task_hash"] for task, unit in units.items()}
    return schema


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
