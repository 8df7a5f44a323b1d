"""What transformers knows of a model: its class, and which tensors its parameters are made of."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pa_harness.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch
    from transformers import PreTrainedModel

    from pa_harness.pair import Pair

Sources = tuple[dict[str, str], list[list[str]]]  # what `parameter_sources` returns


def concrete_class(auto_class: Any, pair: Pair) -> type[PreTrainedModel]:
    """The model class that an Auto class would pick for the pair's configuration."""
    config, folder = pair.config, pair.base.folder
    remote = (getattr(config, "auto_map", None) or {}).get(auto_class.__name__)
    if remote is not None:
        from transformers.dynamic_module_utils import get_class_from_dynamic_module

        cls: type[PreTrainedModel] = get_class_from_dynamic_module(remote, folder)
        return cls
    try:
        found = auto_class._model_mapping[type(config)]  # noqa: SLF001 -- the mapping has no public reader
    except KeyError as error:
        raise CheckpointError(
            f"{pair.base}: transformers has no {auto_class.__name__} for {type(config).__name__}. "
            "Expected a language model."
        ) from error
    candidates = found if isinstance(found, (list, tuple)) else (found,)
    named = [cls for cls in candidates if cls.__name__ in (config.architectures or [])]
    chosen: type[PreTrainedModel] = (named or list(candidates))[0]
    return chosen


def make_shell(pair: Pair, cls: type[PreTrainedModel]) -> PreTrainedModel:
    """The pair's architecture on the meta device: names and shapes, no weights."""
    import torch

    with torch.device("meta"):
        shell = cls(pair.config)
    shell.tie_weights()
    return shell


def tied_copies(shell: PreTrainedModel, keys: Mapping[str, Any]) -> dict[str, str]:
    """Tied parameters that the checkpoint does not spell out -> the key they are equal to.

    A loader that off-loads weights reads every name by itself, tied or not.
    """
    direct, _ = parameter_sources(shell, keys)
    tied: dict[str, str] = getattr(shell, "all_tied_weights_keys", {})
    return {
        name: direct[source]
        for name, source in tied.items()
        if source in direct and name not in keys
    }


def parameter_sources(model: PreTrainedModel, keys: Mapping[str, Any]) -> Sources:
    """Which checkpoint tensors a model's parameters are made of, by transformers' own rules.

    Args:
        model: a transformers model; its weights may be on the meta device.
        keys: the checkpoint's keys.

    Returns:
        Parameter name (as `named_parameters` gives it, tied ones once) -> the one key it equals;
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
    first = {id(parameter): name for name, parameter in model.named_parameters()}
    names = {
        alias: first[id(parameter)]
        for alias, parameter in model.named_parameters(remove_duplicate=False)
    }
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


def convert_(model: PreTrainedModel, tensors: Mapping[str, Any], dtype: torch.dtype) -> None:
    """Let transformers convert checkpoint tensors and write the results into the live model.

    Its loader replaces parameters; their values are copied into the old ones, so that hooks,
    compiled graphs and tied references stay.

    Args:
        model: a loaded model.
        tensors: checkpoint key -> slice, one group of `parameter_sources`.
        dtype: the dtype to convert in.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import convert_and_load_state_dict_in_model
    from transformers.modeling_utils import LoadStateDictConfig

    config = LoadStateDictConfig(
        dtype=dtype,
        weight_mapping=get_model_conversion_mapping(model),  # type: ignore[arg-type]
    )
    before = dict(model.named_parameters())
    with _quiet():
        convert_and_load_state_dict_in_model(model, dict(tensors), config)
    for name, parameter in list(model.named_parameters()):
        if parameter is not before[name]:
            before[name].copy_(parameter)
            module, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(module), attribute, before[name])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar of transformers' loader per parameter."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
