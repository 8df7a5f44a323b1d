"""The model arguments of `partially_adapted_vllm`: ours, lm-eval's and the engine's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pa_harness.errors import ModelArgsError
from pa_harness.weights.arguments import ModelArgs, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping

_DECIDED = {  # arguments of lm-eval's vLLM model that would undo what is done here
    "load_format": "is chosen here: θ_λ is streamed into the engine. Leave it out.",
    "lora_local_path": "would be added on top of θ_λ at full strength. Pass peft=ADAPTER.",
    "quantization": "is not supported: quantised values cannot be interpolated. Leave it out.",
    "worker_extension_cls": "is ours: it holds the change of λ. Leave it out.",
    "hf_overrides": "would change the pair's configuration. Leave it out.",
    "kv_transfer_config": "keeps keys and values that a change of λ does not reach. Leave it out.",
    "kv_offloading_size": "keeps keys and values that a change of λ does not reach. Leave it out.",
    "kv_offloading_backend": "keeps keys and values that a change of λ does not reach. Leave it "
    "out.",
    "kv_events_config": "tells others of keys and values that a change of λ makes stale. Leave it "
    "out.",
    "tokenizer_revision": "is not supported. Pass tokenizer=FOLDER.",
}
PLACEMENT = {  # arguments that say where and in what portions, not what
    *("batch_size", "max_batch_size", "device", "tensor_parallel_size", "pipeline_parallel_size"),
    *("gpu_memory_utilization", "kv_cache_memory_bytes", "max_num_seqs", "max_num_batched_tokens"),
    *("enforce_eager", "distributed_executor_backend", "block_size", "cpu_offload_gb"),
    *("enable_prefix_caching", "disable_log_stats"),
}


def parse_for_engine(
    given: Mapping[str, Any], host: Callable[..., None], engine: Iterable[str]
) -> tuple[ModelArgs, dict[str, Any]]:
    """Check model arguments.

    Args:
        given: all of them, as lm-eval parsed them.
        host: ``__init__`` of lm-eval's vLLM model.
        engine: names that the engine takes.

    Returns:
        Ours, and those for lm-eval's model.

    Raises:
        ModelArgsError: the first thing that is wrong.
    """
    for name, why in _DECIDED.items():
        if given.get(name):
            raise ModelArgsError(f"{name}={given[name]!r} {why}")
    if str(given.get("data_parallel_size", 1)) != "1":
        raise ModelArgsError(
            f"data_parallel_size={given['data_parallel_size']}: lm-eval would start new engines "
            "for every question, which have no λ. Use `pa-harness sweep --executor ray`."
        )
    if given.get("keep") == "memory":
        raise ModelArgsError(
            "keep='memory' is not for vLLM: its workers read from the files. Leave it out."
        )
    ours, rest = parse(given, host, "vllm", dict.fromkeys(engine, Any))
    rest.pop("device")  # vLLM's own choice
    return ours, rest


def room_to_score(arguments: MutableMapping[str, Any], positions: int | None) -> int:
    """Let the engine hold prompts that `hf` would score whole at this length.

    `hf` scores up to ``max_length + 1`` tokens, as the last is asked for and not read. vLLM reads
    that one as well, and keeps a place for one that it would write.

    Args:
        arguments: those of lm-eval's vLLM model; the length in them is made two longer.
        positions: that the model has, if its configuration says so.

    Returns:
        The tokens added: 2, or 0 where no length is given or the model has no positions for more.
    """
    name = "max_model_len" if arguments.get("max_model_len") else "max_length"
    asked = arguments.get(name)
    if not asked or int(asked) + 2 > (positions or 0):
        return 0
    arguments[name] = int(asked) + 2
    return 2
