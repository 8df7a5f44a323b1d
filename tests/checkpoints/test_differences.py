"""Settings that two sides say in other ways, and settings that make other functions of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from breakage import copied, settings
from through_lm_eval import adapted, assert_same_weights, scores, stock

from pa_harness.errors import PairError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
Settings = dict[str, Any]
_WINDOW = {"use_sliding_window": False, "sliding_window": 32768}
_LLAMA_3 = {
    **{"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_type": "llama3"},
    "original_max_position_embeddings": 64,
}
_OLD = {"rope_parameters": None}
_NEW_LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}

# what: (family, settings of base, of instruct), None: not there
SAME: dict[str, tuple[str, Settings, Settings]] = {
    "windows off, layers of them": (
        *("qwen-2.5", _WINDOW | {"max_window_layers": 2}, _WINDOW | {"max_window_layers": 1}),
    ),
    "windows off, one named": (
        *("qwen-3", {"use_sliding_window": False, "sliding_window": None}, _WINDOW),
    ),
    "windows off, other lengths": ("qwen-2.5", _WINDOW, _WINDOW | {"sliding_window": 4096}),
    "a window where there is none": ("llama", {}, {"sliding_window": 4096}),
    "a longer context": ("llama", {}, {"max_position_embeddings": 512}),
    "a longer context, other words": ("qwen-3", {"max_position_embeddings": 128}, {}),
    "head_dim null": ("mistral", {"head_dim": None}, {"head_dim": 8}),
    "head_dim null, experts": ("mixtral", {"head_dim": None}, {"head_dim": 8}),
    "head_dim not there": ("llama", {"head_dim": None}, {"head_dim": 8}),
    "biases null": ("llama", {"mlp_bias": None}, {"mlp_bias": False}),
    "positions of transformers 4": (
        *("llama", _OLD | {"rope_theta": 5e5, "rope_scaling": None}),
        {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
    ),
    "positions scaled": (
        *("mistral", _OLD | {"rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 2.0}}),
        {"rope_parameters": _NEW_LINEAR},
    ),
    "positions of llama 3": (
        *("qwen-3", _OLD | {"rope_theta": 5e5, "rope_scaling": _LLAMA_3}),
        {"rope_parameters": _LLAMA_3 | {"rope_theta": 5e5}},
    ),
    "positions of gpt-neox": (
        *("gpt-neox", _OLD | {"rotary_pct": 0.25, "rotary_emb_base": 10000}, {}),
    ),
    "an activation under its other name": ("gemma-2", {"hidden_act": "gelu_pytorch_tanh"}, {}),
    "a kind of cache": ("gemma-3", {"cache_implementation": "hybrid"}, {}),
    "what training was": ("gpt-2", {"attn_pdrop": 0.0}, {"summary_type": "mean"}),
    "dtype under its old name": ("olmo-2", {"dtype": None, "torch_dtype": "float32"}, {}),
}


@pytest.mark.parametrize("what", SAME)
def test_what_does_nothing_is_no_difference(
    what: str, pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    """Both ends are `hf` on each side's own settings, so the settings are of no consequence."""
    family, *changes = SAME[what]
    pair = copied(pair_of(family), tmp_path)
    for side, change in zip(pair, changes, strict=True):
        settings(**change)(side)
    lm = adapted(pair, 0)
    for lam, side in enumerate(pair):
        lm.set_lam(lam)
        alone = stock(side)
        assert_same_weights(lm, alone)
        assert scores(lm) == scores(alone)


# what: (family, settings of instruct, message of PairError)
OTHER: dict[str, tuple[str, Settings, str]] = {
    "a window": (
        "mistral",
        {"sliding_window": 8},
        r"sliding_window: base 16, instruct 8 \(changes",
    ),
    "the window of the class": (
        *("mistral", {"sliding_window": None}),
        r"sliding_window: base 16, instruct 4096 \(changes which tokens attention sees\)",
    ),
    "layers with a window": (
        *("gemma-3", {"layer_types": ["full_attention"] * 2}),
        r"layer_types: base \['sliding_attention', 'sliding_attention'\], .*\(changes which tokens",
    ),
    "positions": (
        *("qwen-3", {"rope_parameters": _NEW_LINEAR}),
        r"rope_parameters\.factor: base None, instruct 2\.0 \(changes positions\)",
    ),
    "rotated part": (
        *("gpt-neox", {"rope_parameters": None, "rotary_pct": 0.5}),
        r"partial_rotary_factor: base 0\.25, instruct 0\.5 \(changes positions\)",
    ),
    "experts for a token": (
        *("mixtral", {"num_experts_per_tok": 1}),
        r"num_experts_per_tok: base 2, instruct 1 \(changes which experts compute a token\)",
    ),
    "cap of scores": (
        *("gemma-2", {"attn_logit_softcapping": 20.0}),
        r"attn_logit_softcapping: base 50\.0, instruct 20\.0 \(changes the scale of activations\)",
    ),
    "activation": (
        *("olmo-2", {"hidden_act": "gelu"}),
        r"hidden_act: base 'silu', instruct 'gelu' \(changes the activation function\)",
    ),
    "norm": (
        *("gpt-2", {"layer_norm_epsilon": 1e-3}),
        r"layer_norm_epsilon: base 1e-05, instruct 0\.001 \(changes normalisation\)",
    ),
}


@pytest.mark.parametrize("what", OTHER)
def test_what_changes_the_function_is_refused_with_a_way_on(
    what: str, pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    family, change, message = OTHER[what]
    pair = copied(pair_of(family), tmp_path)
    settings(**change)(pair[1])
    with pytest.raises(PairError, match=rf"{message}(?s:.*)config_from=base or config_from=inst"):
        adapted(pair, 0.5)
    for whose, side in (("base", pair[0]), ("instruct", pair[1])):
        lm = adapted(pair, float(whose == "instruct"), config_from=whose)
        assert scores(lm) == scores(stock(side))
        assert any("configurations differ" in note for note in lm._notes)
