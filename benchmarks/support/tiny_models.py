"""A tiny random model of every type that transformers serves.

A configuration class is asked for its fields, and those that make a model large are set to small
numbers (``tiny_models.json``; what single types need beyond that is there, too).
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

if TYPE_CHECKING:
    from collections.abc import Iterator

FACTS: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
_SIZES = {name: int(size) for size, names in FACTS["sizes"].items() for name in names}
_AT_MOST = {name: int(size) for size, names in FACTS["at_most"].items() for name in names}
_ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
_SPECIAL = re.compile(r".*(_token_id|_token_index|_id|_token)")
# Values by which a model divides or counts: noise there makes nonsense of it.
_UNTOUCHED = re.compile(r"inv_freq|running_var|num_batches|input_m|output_m|pos_bias_|frequency")


def types() -> Iterator[tuple[str, str]]:
    """Model types and their kind: "causal", or "wrapper" of images that is no causal type."""
    causal = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    images = modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    yield from ((name, "causal") for name in causal)
    yield from ((name, "wrapper") for name in images if name not in causal)


def tiny_config(model_type: str) -> Any:
    """A configuration of the type."""
    cls = CONFIG_MAPPING[model_type]
    return cls(**_small(cls, copy.deepcopy(FACTS["of_type"].get(model_type) or {})))


def saved_class(model_type: str, config: Any) -> type[Any]:
    """The class of a published checkpoint: a wrapper's whole, an encoder-decoder's both halves."""
    kind = type(config)
    images = modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    if model_type in modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return _first(modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING[kind])
    if kind not in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING:
        return _first(images[kind])
    causal = _first(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING[kind])
    text = kind.sub_configs.get("text_config")
    is_text_only = text is not None and causal.config_class is text
    return _first(images[kind]) if is_text_only else causal


def tiny_model(cls: type[Any], config: Any, *, seed: int) -> Any:
    """A random model whose every tensor has a say; transformers' own is nearly flat."""
    torch.manual_seed(seed)
    model = cls(copy.deepcopy(config)).float().eval()
    generator = torch.Generator().manual_seed(seed)
    stored = model.state_dict()
    with torch.no_grad():
        for name in dict.fromkeys(n for n, t in stored.items() if t.is_floating_point()):
            tensor = stored[name]
            if not tensor.numel() or _UNTOUCHED.search(name):
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            fan = math.prod(tensor.shape[1:]) if tensor.dim() > 1 else 0
            tensor.add_(noise * (min(0.18, fan**-0.5) if fan else 0.04))
    model.generation_config.eos_token_id = 1
    return model


def wrapped_pairs() -> dict[str, tuple[str, str]]:
    """Pairs of a wrapper and its text model alone: name -> (wrapper's type, text model's class)."""
    return {
        "gemma3": ("gemma3", "Gemma3ForCausalLM"),
        "gemma4": ("gemma4", "Gemma4ForCausalLM"),
        "mistral3": ("mistral3", "MistralForCausalLM"),
        "qwen2_5_vl": ("qwen2_5_vl", "Qwen2ForCausalLM"),
        "qwen3_vl": ("qwen3_vl", "Qwen3ForCausalLM"),
        "qwen3_5": ("qwen3_5", "Qwen3_5ForCausalLM"),
        "llava": ("llava", "LlamaForCausalLM"),
        "llama4": ("llama4", "Llama4ForCausalLM"),
    }


def text_config(wrapper: Any, cls_name: str) -> tuple[type[Any], Any]:
    """The text model's class, and a wrapper's text part as its configuration."""
    cls = getattr(transformers, cls_name)
    settings = wrapper.get_text_config().to_dict()
    settings = {k: v for k, v in settings.items() if k not in ("model_type", "architectures")}
    return cls, cls.config_class(**settings)


def _small(cls: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a small configuration; what is given has the last word."""
    declared = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    fields = {each.name: each.default for each in declared}
    found: dict[str, Any] = {name: end for name, end in _ENDS.items() if name in fields}
    for name, default in fields.items():
        if name not in found and isinstance(default, int) and not isinstance(default, bool):
            found |= _small_number(name, default, fields)
    for name, sub in (getattr(cls, "sub_configs", None) or {}).items():
        mine = given.pop(name, {})
        kind = _kind_of(cls, name, sub)
        if mine is None or kind is None:
            found |= {} if mine else {name: None} if mine is None else {}
        else:
            found[name] = kind(**_small(kind, mine))
    return found | given


def _small_number(name: str, default: int, fields: dict[str, Any]) -> dict[str, int]:
    if name in _SIZES:
        return {name: _SIZES[name]}
    if name in _AT_MOST:
        return {name: min(default, _AT_MOST[name])}
    if re.fullmatch(r".*num_(global_)?(key_value|kv)_heads|kv_n_heads", name):
        return {
            name: 1 if default == 1 else 4 if default == fields.get("num_attention_heads") else 2
        }
    if _SPECIAL.fullmatch(name) and default > 3:  # inside the vocabulary, and of no text
        return {name: 310 + sum(map(ord, name)) % 10}
    return {}


def _kind_of(cls: Any, name: str, sub: Any) -> Any:
    """Class of a sub-configuration: the one of the default configuration, else the declared one."""
    try:
        kind = type(getattr(cls(), name, None))
    except Exception:  # noqa: BLE001 -- some have no default, each in its own way
        kind = type(None)
    if kind in (type(None), dict):
        return sub if isinstance(sub, type) and sub.__name__ != "AutoConfig" else None
    return kind


def _first(found: Any) -> type[Any]:
    chosen: type[Any] = found[0] if isinstance(found, (list, tuple)) else found
    return chosen
