"""Small image-text wrappers, and their text models alone: base and instruct, in any combination."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
import transformers
from families import make_instruct, make_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

_TEXT = {
    **{"vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8},
    **{"max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2},
}
_VISION = {
    **{"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "image_size": 28},
    **{"num_attention_heads": 2, "patch_size": 14},
}
_ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
_QWEN_VISION = {"depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2}
_HYBRID = {
    **{"layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2},
    **{"linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8},
    "rope_parameters": {**_ROPE, "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 0]},
    "tie_word_embeddings": True,
}
_LLAMA_4 = {"intermediate_size_mlp": 48, "num_local_experts": 2, "attention_chunk_size": 64}
_LLAMA_4_VISION = {
    **{"projector_input_dim": 16, "projector_output_dim": 16, "vision_output_dim": 16},
    "intermediate_size": 64,
}
_CLIP = {"model_type": "clip_vision_model", "projection_dim": 16}

# name: (the wrapper's class, its text model's, settings of the text, of the images, of the whole)
WRAPPERS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "gemma 3": (
        *("Gemma3ForConditionalGeneration", "Gemma3ForCausalLM", {"sliding_window": 16}, _VISION),
        {"mm_tokens_per_image": 4, "image_token_index": 312},
    ),
    "qwen 3.5": (
        *("Qwen3_5ForConditionalGeneration", "Qwen3_5ForCausalLM", _HYBRID),
        {**_QWEN_VISION, "out_hidden_size": 32, "patch_size": 4, "num_position_embeddings": 16},
        {"tie_word_embeddings": True, "image_token_id": 310},
    ),
    "llama 4": (
        *("Llama4ForConditionalGeneration", "Llama4ForCausalLM", _LLAMA_4),
        *(_VISION | _LLAMA_4_VISION, {"image_token_index": 312}),
    ),
    "mistral 3": (
        *("Mistral3ForConditionalGeneration", "MistralForCausalLM"),
        *({"model_type": "mistral"}, {"model_type": "pixtral", **_VISION, "head_dim": 8}),
        {"image_token_index": 312, "spatial_merge_size": 2},
    ),
    "llava": (
        *("LlavaForConditionalGeneration", "LlamaForCausalLM", {"model_type": "llama"}),
        *({**_VISION, **_CLIP}, {"image_token_index": 312}),
    ),
    "qwen 2.5 vl": (
        *("Qwen2_5_VLForConditionalGeneration", "Qwen2ForCausalLM", {"rope_parameters": _ROPE}),
        {**_QWEN_VISION, "out_hidden_size": 32, "patch_size": 14, "fullatt_block_indexes": [1]},
        {"image_token_id": 310},
    ),
}


def make_wrapper(name: str) -> Any:
    """A random one."""
    whole, _, text, images, more = WRAPPERS[name]
    cls = getattr(transformers, whole)
    torch.manual_seed(1)
    config = cls.config_class(text_config=_TEXT | text, vision_config=images, **more)
    model = cls(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def text_names(name: str, wrapper: Any) -> dict[str, str]:
    """Name in the text model -> name in the wrapper."""
    found = wrapper.state_dict()
    inner = next(n for n, _ in wrapper.named_modules() if n.endswith("language_model"))
    inner += ".model" if name == "llama 4" else ""
    head = next(key for key in found if key.endswith("lm_head.weight"))
    parts = {k: k.removeprefix(f"{inner}.") for k in found if k.startswith(f"{inner}.")}
    return {f"model.{rest}": key for key, rest in parts.items()} | {"lm_head.weight": head}


def make_text(name: str, wrapper: Any) -> Any:
    """The text model of a wrapper, alone."""
    cls = getattr(transformers, WRAPPERS[name][1])
    settings = wrapper.config.get_text_config().to_dict()
    settings = {k: v for k, v in settings.items() if k not in ("model_type", "architectures")}
    settings["tie_word_embeddings"] = wrapper.config.tie_word_embeddings
    model = cls(cls.config_class(**settings))
    state = wrapper.state_dict()
    model.load_state_dict({ours: state[key] for ours, key in text_names(name, wrapper).items()})
    return model


def make_pair(name: str, folder: Path, *, base: str, instruct: str) -> tuple[Path, Path]:
    """Folders of both sides, each the "wrapper" or its "text" alone."""
    first = make_wrapper(name)
    for role, kind, model in (
        ("base", base, first),
        ("instruct", instruct, make_instruct(first, seed=2)),
    ):
        saved = make_text(name, model) if kind == "text" else model
        saved.save_pretrained(folder / role)
        make_tokenizer(chat=role == "instruct").save_pretrained(folder / role)
    return folder / "base", folder / "instruct"


def own(folder: Path) -> Any:
    """A checkpoint as its own class."""
    (name,) = json.loads((folder / "config.json").read_text())["architectures"]
    return getattr(transformers, name).from_pretrained(folder, dtype=torch.float32)
