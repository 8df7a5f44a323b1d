"""What transformers knows of a model: its class, and which tensors its parameters are made of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pa_harness.errors import CheckpointError, PairError, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch
    from transformers import PretrainedConfig, PreTrainedModel

    from pa_harness.checkpoints.checkpoint import Checkpoint

Sources = tuple[dict[str, str], list[list[str]]]  # what `parameter_sources` returns


def model_class(config: PretrainedConfig, base: Checkpoint) -> type[PreTrainedModel]:
    """The language model's class.

    Args:
        config: the configuration it runs with.
        base: the checkpoint that brings its code, where the model is not one of transformers'.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.models.auto import modeling_auto

    names = modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    auto = AutoModelForSeq2SeqLM if config.model_type in names else AutoModelForCausalLM
    return concrete_class(auto, config, base)


def concrete_class(
    auto_class: Any, config: PretrainedConfig, base: Checkpoint
) -> type[PreTrainedModel]:
    """The class that an Auto class would pick for the configuration (see `model_class`)."""
    remote = (getattr(config, "auto_map", None) or {}).get(auto_class.__name__)
    if remote is not None:
        from transformers.dynamic_module_utils import get_class_from_dynamic_module

        cls: type[PreTrainedModel] = get_class_from_dynamic_module(remote, base.folder)
        return cls
    try:
        found = auto_class._model_mapping[type(config)]  # noqa: SLF001 -- the mapping has no public reader
    except KeyError as error:
        raise CheckpointError(
            f"{base}: transformers has no {auto_class.__name__} for {type(config).__name__}. "
            "Expected a language model."
        ) from error
    candidates = found if isinstance(found, (list, tuple)) else (found,)
    named = [cls for cls in candidates if cls.__name__ in (config.architectures or [])]
    chosen: type[PreTrainedModel] = (named or list(candidates))[0]
    return chosen


def make_shell(
    cls: type[PreTrainedModel], config: PretrainedConfig, base: Checkpoint
) -> PreTrainedModel:
    """The architecture on the meta device: names and shapes, no weights (see `model_class`)."""
    import torch

    try:
        with torch.device("meta"):
            shell = cls(config)
        shell.tie_weights()
    except Exception as error:  # whatever the architecture met, the cure is the same
        raise CheckpointError(
            f"{base}: transformers cannot build {cls.__name__} from config.json: "
            f"{type(error).__name__}: {error}\nRestore the file."
        ) from error
    return shell


def left_out(config: PretrainedConfig, keys: Iterable[str], info: Mapping[str, Any]) -> list[str]:
    """What to warn of in the report of transformers' loader.

    Args:
        config: the model's configuration.
        keys: the checkpoint's keys.
        info: the report; missing parameters would have been initialised at random.

    Raises:
        PairError: the model needs tensors that the checkpoints do not have, or the checkpoints have
            layers that the configuration does not.
    """
    problems = [
        *(f"{key}: missing from both checkpoints" for key in sorted(info["missing_keys"])),
        *map(str, info.get("error_msgs") or []),
    ]
    unused = sorted(info["unexpected_keys"])
    used = {re.sub(r"\.\d+\.", ".0.", key) for key in keys if key not in unused}
    problems += [
        f"{key}: config.json has too few layers for it"
        for key in unused
        if re.sub(r"\.\d+\.", ".0.", key) in used
    ]
    if problems:
        raise PairError(
            f"The checkpoints do not fit {type(config).__name__}:\n{listed(problems)}\n"
            "Check config.json, and that the weights are complete."
        )
    if not unused:
        return []
    return [
        f"{len(unused)} tensors of the checkpoints are not part of this architecture and were left "
        f"out:\n{listed(unused)}"
    ]


def parameter_sources(model: PreTrainedModel, keys: Mapping[str, Any]) -> Sources:
    """Which checkpoint tensors a model's parameters are made of, by transformers' own rules.

    Args:
        model: a transformers model; its weights may be on the meta device.
        keys: the checkpoint's keys.

    Returns:
        Name (as `stored_tensors` gives it) -> the one key it equals;
        and, for parameters that transformers assembles, groups of keys that belong together.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import (
        WeightConverter,
        WeightRenaming,
        rename_source_key,
    )

    mapping = get_model_conversion_mapping(model)
    renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
    converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
    state: dict[str, Any] = model.state_dict()
    prefix = str(getattr(model, "base_model_prefix", ""))
    first = {id(tensor): name for name, tensor in stored_tensors(model)}
    aliases = [*model.named_parameters(remove_duplicate=False), *model.named_buffers()]
    names = {alias: first[id(tensor)] for alias, tensor in aliases if id(tensor) in first}
    direct: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    for key in keys:
        name, pattern = rename_source_key(key, renamings, converters, prefix, state)
        if name not in state and key in state:
            name, pattern = rename_source_key(key, [], [], prefix, state)
        if pattern is not None:
            groups.setdefault(name, []).append(key)
        elif name in names:
            direct[names[name]] = key
    return direct, list(groups.values())


def kept_wide(
    shell: PreTrainedModel, direct: Mapping[str, str], dtype: torch.dtype
) -> dict[str, torch.dtype]:
    """Checkpoint keys that transformers stores in fp32 although the model's dtype is narrower.

    Args:
        shell: the architecture.
        direct: parameter name -> key, of `parameter_sources`.
        dtype: the model's.
    """
    plan: dict[str, torch.dtype] = shell._get_dtype_plan(dtype)  # noqa: SLF001 -- has no public reader
    return {
        key: wide
        for name, key in direct.items()
        for part, wide in plan.items()
        if part in name and wide is not dtype
    }


def stored_tensors(model: PreTrainedModel) -> list[tuple[str, torch.Tensor]]:
    """Parameters, tied ones once, and the float buffers that checkpoints hold (router biases)."""
    stored = model.state_dict().keys()
    buffers = [
        (name, buffer)
        for name, buffer in model.named_buffers()
        if name in stored and buffer.is_floating_point()
    ]
    return [*model.named_parameters(), *buffers]
