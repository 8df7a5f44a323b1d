"""LoRA adapters that peft makes, on small bases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from families import make_model, save
from lm_eval.api.registry import get_model
from peft import LoraConfig, get_peft_model
from through_lm_eval import CPU, WHOLE

if TYPE_CHECKING:
    from pathlib import Path

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("llama", {"target_modules": ["q_proj", "down_proj"]}),
    "tied": ("llama-tied", {"target_modules": ["v_proj"]}),
    "rank-stabilised": ("qwen-3", {"target_modules": ["q_proj"], "use_rslora": True}),
    "patterns": (
        "llama",
        {
            "target_modules": ["q_proj"],
            "rank_pattern": {"layers.0.self_attn.q_proj": 2},
            "alpha_pattern": {"layers.1.self_attn.q_proj": 3},
        },
    ),
    "transposed": ("gpt-2", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    "beside fused experts": ("mixtral", {"target_modules": ["q_proj"]}),
    "lm_head": ("llama", {"target_modules": ["lm_head"]}),
}


def make_adapter(
    folder: Path, family: str, settings: dict[str, Any], *, saved: bool = False
) -> tuple[Path, Path]:
    """A base (its rows equal the tokenizer's, or `hf` would resize it) and a LoRA on it."""
    base = make_model(family, seed=1, vocab_size=300)
    save(base, folder / "base")
    torch.manual_seed(3)
    config = LoraConfig(r=4, lora_alpha=8, init_lora_weights=False, **settings)
    get_peft_model(base, config).save_pretrained(folder / "adapter", save_embedding_layers=saved)
    return folder / "base", folder / "adapter"


def lora(pair: tuple[Path, Path], lam: float, **arguments: Any) -> Any:
    cls = get_model("partially_adapted")
    return cls(pretrained=str(pair[0]), peft=str(pair[1]), lam=lam, **CPU | WHOLE | arguments)
