"""Small random models of every family, made once, and token lists for them."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers
from families import FAMILIES, VOCABULARY, make_model
from hypothesis import strategies as st

CPU = torch.device("cpu")


_OPT = {"ffn_dim": 48, "word_embed_proj_dim": 32, "hidden_size": 32, "num_hidden_layers": 2}


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


_GPT_OSS = {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16}


MORE: dict[str, tuple[str, dict[str, Any]]] = {  # what the families do not have
    "opt (positions from 2)": ("OPTForCausalLM", _OPT | {"num_attention_heads": 4}),
    "gpt-oss (sinks)": ("GptOssForCausalLM", SMALL | _GPT_OSS | {"num_key_value_heads": 2}),
    "granite (scaled logits)": ("GraniteForCausalLM", SMALL | {"logits_scaling": 8.0}),
    "phi (partial rotary)": ("PhiForCausalLM", SMALL | {"intermediate_size": 48}),
    "gpt-bigcode (one key head)": (
        "GPTBigCodeForCausalLM",
        {"n_embd": 32, "n_layer": 2, "n_head": 4},
    ),
}


@cache
def model_of(name: str) -> Any:
    if name in FAMILIES:
        return make_model(name, seed=1).eval()
    return small(*MORE[name])


def small(name: str, settings: dict[str, Any]) -> Any:
    torch.manual_seed(1)
    cls = getattr(transformers, name)
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    model = cls(cls.config_class(vocab_size=VOCABULARY, **ends, **settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def tokens(low: int, high: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(3, VOCABULARY - 1), min_size=low, max_size=high)
