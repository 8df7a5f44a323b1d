"""Small random models whose layers hold state, attend in chunks or by index, or add biases."""

from __future__ import annotations

from functools import cache
from typing import Any

from small_models import SMALL, small

_FOUR = SMALL | {"num_hidden_layers": 4, "intermediate_size": 48}
_DELTA = {
    **_FOUR,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_SHARED_EXPERT = _EXPERTS | {"shared_expert_intermediate_size": 16}
_MAMBA = {"mamba_n_heads": 8, "mamba_d_state": 8, "mamba_chunk_size": 16}
_NEMOTRON = {
    **{"mamba_num_heads": 8, "mamba_head_dim": 8, "ssm_state_size": 8, "n_groups": 1},
    **{"chunk_size": 16, "n_routed_experts": 4, "n_shared_experts": 1, "n_group": 1},
    **{"topk_group": 1, "moe_intermediate_size": 16, "moe_shared_expert_intermediate_size": 16},
    **{"head_dim": 8, "num_key_value_heads": 2, "num_experts_per_tok": 2},
}
_MLA = {
    **{"kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 4, "v_head_dim": 8},
    **{"qk_nope_head_dim": 8, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 16},
    **{"num_experts_per_tok": 2, "n_routed_experts": 4, "n_shared_experts": 1, "head_dim": 8},
}
_INDEXED = {"index_topk": 12, "index_head_dim": 8, "index_n_heads": 16, "first_k_dense_replace": 1}
_HYBRID = ["linear_attention", "hybrid", "linear_attention", "hybrid"]

HYBRIDS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen 3.5 (gated delta rule)": ("Qwen3_5ForCausalLM", _DELTA),
    "qwen 3.5 moe": ("Qwen3_5MoeForCausalLM", _DELTA | _SHARED_EXPERT),
    "qwen 3 next": ("Qwen3NextForCausalLM", _DELTA | _SHARED_EXPERT),
    "olmo hybrid": ("OlmoHybridForCausalLM", _FOUR),
    "granite 4 h (mamba 2)": (
        "GraniteMoeHybridForCausalLM",
        {
            **_FOUR,
            **_MAMBA,
            "shared_intermediate_size": 16,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "layer_types": ["linear_attention", "full_attention"] * 2,
        },
    ),
    "bamba": (
        "BambaForCausalLM",
        _FOUR | _MAMBA | {"num_key_value_heads": 2, "attn_layer_indices": [1, 3]},
    ),
    "falcon h1 (both in a layer)": (
        "FalconH1ForCausalLM",
        SMALL | _MAMBA | {"mamba_d_ssm": 64, "num_key_value_heads": 2, "intermediate_size": 48},
    ),
    "nemotron h": ("NemotronHForCausalLM", SMALL | _NEMOTRON | {"intermediate_size": 48}),
    "jamba (mamba 1)": (
        "JambaForCausalLM",
        {
            **_FOUR,
            **_EXPERTS,
            "num_key_value_heads": 2,
            "mamba_d_state": 8,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
        },
    ),
    "zamba 2 (shared layers)": (
        "Zamba2ForCausalLM",
        {
            **{"hidden_size": 32, "mamba_d_state": 8, "n_mamba_heads": 2, "chunk_size": 16},
            **{"num_hidden_layers": 4, "num_attention_heads": 4, "layers_block_type": _HYBRID},
        },
    ),
    "lfm 2 (convolutions)": (
        "Lfm2ForCausalLM",
        _FOUR | {"num_key_value_heads": 2, "full_attn_idxs": [1, 3]},
    ),
    "mamba": ("MambaForCausalLM", {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2}),
    "mamba 2": (
        "Mamba2ForCausalLM",
        {
            **{"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "chunk_size": 16},
            **{"num_heads": 8, "head_dim": 8, "n_groups": 1},
        },
    ),
    "llama 4 (chunks)": (
        "Llama4ForCausalLM",
        {
            **_FOUR,
            **{"intermediate_size_mlp": 48, "num_key_value_heads": 2, "head_dim": 8},
            **{"num_local_experts": 4, "attention_chunk_size": 16, "floor_scale": 16},
        },
    ),
    "deepseek 3.2 (indexed)": ("DeepseekV32ForCausalLM", _FOUR | _MLA | _INDEXED),
    "bloom (ALiBi)": ("BloomForCausalLM", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "gpt-j": ("GPTJForCausalLM", {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4}),
    "xglm": ("XGLMForCausalLM", {"d_model": 32, "num_layers": 2, "attention_heads": 4}),
}


@cache
def hybrid(name: str) -> Any:
    return small(*HYBRIDS[name])
