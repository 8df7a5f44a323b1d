"""The module words of a schedule mean the same in every family, and cover a layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from pa_harness.lam.modules import layer_of, modules_of

# Names of tensors as families have them -> the words that mean them.
WORDS = {
    "model.layers.0.linear_attn.in_proj_qkvz.weight": {"attn"},  # Qwen3-Next
    "model.layers.0.linear_attn.norm.weight": {"attn", "norm"},
    "backbone.layers.3.mixer.A_log": {"attn"},  # Mamba
    "model.layers.1.mamba.dt_bias": {"attn"},  # Jamba, Bamba
    "model.layers.1.mixer.experts.up_proj": {"mlp", "experts"},  # Nemotron-H
    "model.layers.1.mixer.q_proj.weight": {"attn", "q"},
    "model.layers.2.conv.in_proj.weight": {"attn"},  # LFM2
    "model.decoder.layers.0.fc1.weight": {"mlp"},  # OPT
    "transformer.blocks.0.norm_1.weight": {"norm"},  # MPT
    "model.layers.0.shared_mlp.input_linear.weight": {"mlp"},  # Granite
    "model.layers.0.mlp.shared_experts.up_proj.weight": {"mlp", "experts"},  # GLM, DeepSeek
    "model.layers.0.mlp.gate.e_score_correction_bias": {"mlp"},
    "model.layers.0.post_attention_layernorm.weight": {"norm"},
    "model.layers.0.self_attn.q_norm.weight": {"attn", "norm"},
    "bert.encoder.layer.0.output.dense.weight": {"mlp"},
    "bert.encoder.layer.0.output.LayerNorm.weight": {"mlp", "norm"},
    "bert.encoder.layer.0.attention.output.dense.weight": {"attn", "o"},
    "transformer.h.0.attn.c_proj.weight": {"attn", "o"},  # GPT-2
    "transformer.h.0.self_attention.query_key_value.weight": {"attn"},  # BLOOM
    "cpmant.position_bias.relative_attention_bias": {"attn"},
    "model.layers.0.post_attention_convolution.conv1d.weight": {"attn"},  # Inkling 2
    "model.layers.0.post_mlp_convolution.conv1d.weight": {"mlp"},
    "model.layers.0.mlp_input.query": {"mlp"},
    "backbone.blocks.0.mlstm_layer.q.weight": {"attn", "q"},  # xLSTM
    "cpmant.encoder.layers.0.ffn.layernorm_before_ffn.weight": {"mlp", "norm"},
    "model.layers.0.ffn_hc.fn": {"mlp"},  # DeepSeek-V4
    "transformer.layer.0.ff.layer_1.weight": {"mlp"},  # XLNet
    "bert.encoder.layer.0.intermediate.dense.weight": {"mlp"},
    "encoder.block.0.layer.0.DenseReluDense.wi.weight": {"mlp"},  # T5
    "model.layers.0.block_sparse_moe.gate.weight": {"mlp"},  # models with code of their own
    "model.layers.0.router.weight": {"mlp"},
    "model.layers.0.shared_experts.up_proj.weight": {"mlp", "experts"},
    "model.layers.0.mlp.expert_bias": {"mlp", "experts"},  # AFMoE
    "model.layers.0.self_attention.experts.bias": {"attn", "experts"},  # JetMoE
    "bert.encoder.layer.0.attention.ln.weight": {"attn", "norm"},  # Megatron
    "transformer.ln_f.weight": {"norm"},
    "rwkv.blocks.0.pre_ln.weight": {"norm"},
    "model.embed_tokens.weight": {"embed"},
    "gpt_neox.embed_in.weight": {"embed"},
    "model.decoder.embed_positions.weight": {"embed"},
    "transformer.wte.weight": {"embed"},
    "transformer.wpe.weight": {"embed"},
    "bert.embeddings.position_embeddings.weight": {"embed"},
    "transformer.word_embeddings.weight": {"embed"},
    "lm_head.weight": {"lm_head"},
    "embed_out.weight": {"lm_head"},
    **{f"transformer.layer.0.rel_attn.{word}": {"attn", word} for word in "qkvo"},  # XLNet
    **{f"model.layers.0.self_attn.{word}_proj.weight": {"attn", word} for word in "qkvo"},
    **{f"transformer.h.0.attn.W{word}.weight": {"attn", word} for word in "qkvo"},  # CTRL
    **{
        f"bert.encoder.layer.0.attention.self.{name}.weight": {"attn", name[0]}
        for name in ("query", "key", "value")
    },
    **{
        f"transformer.attentions.0.{name}_lin.weight": {"attn", name[0]}  # XLM
        for name in ("q", "k", "v", "out")
    },
    "model.layers.0.mamba.out_proj.weight": {"attn", "o"},
    "model.layers.0.temporal_block.linear_out.weight": {"attn", "o"},  # RecurrentGemma
    "model.layers.0.layer_scalar": {"other"},  # Gemma 4
    "model.vision_tower.encoder.layers.3.self_attn.q_proj.weight": {"other"},
}


@pytest.mark.parametrize("name", WORDS)
def test_words_mean_the_same_in_every_family(name: str) -> None:
    assert modules_of(name) == WORDS[name]


def test_a_layer_is_one_of_the_text() -> None:
    assert layer_of("model.language_model.layers.7.mlp.up_proj.weight") == 7
    assert layer_of("model.vision_tower.encoder.layers.26.mlp.fc1.weight") is None
    assert layer_of("lm_head.weight") is None


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("Qwen3Next", {"layer_types": ["linear_attention", "full_attention"]}),
        ("Jamba", {"attn_layer_period": 2, "attn_layer_offset": 1}),
        ("NemotronH", {"layers_block_type": ["mamba", "attention"]}),
        ("OPT", {}),
        ("RecurrentGemma", {}),
        ("Lfm2", {"layer_types": ["conv", "full_attention"]}),
        ("GraniteMoeShared", {"shared_intermediate_size": 16}),
        ("Gemma4", {"vocab_size_per_layer_input": 320}),
    ],
)
def test_no_parameter_of_a_layer_is_outside_all_words(
    family: str, settings: dict[str, Any]
) -> None:
    """Counted on the architecture itself, its weights on no device."""
    cls = getattr(transformers, f"{family}ForCausalLM")
    config = cls.config_class(num_hidden_layers=2, **settings)
    with torch.device("meta"):
        names = list(cls(config).state_dict())
    inside = [name for name in names if layer_of(name) is not None]
    assert len(inside) > 10
    assert [name for name in inside if not modules_of(name)] == []
    other = {name.split(".")[3] for name in inside if modules_of(name) == {"other"}}
    assert other <= {"layer_scalar", "per_layer_projection", "per_layer_input_gate"}
