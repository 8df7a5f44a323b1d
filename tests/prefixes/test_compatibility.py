"""Which models may share prefixes: what is refused, and by what."""

from __future__ import annotations

from typing import Any

import pytest
import transformers
from families import FAMILIES, make_model
from small_models import CPU, MORE, SMALL, model_of, small

from pa_harness.prefixes.attention import NotATreeError
from pa_harness.prefixes.compatibility import disagreement, longest_possible, obstacle
from pa_harness.prefixes.scoring import PrefixScorer, Request

OBSTACLES: dict[str, tuple[str, dict[str, Any], str]] = {
    "ALiBi": ("BloomForCausalLM", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, "cannot be exc"),
    "state space": ("MambaForCausalLM", {"hidden_size": 32}, "other kind: linear_attention"),
    "chunks": (
        "Llama4ForCausalLM",
        SMALL | {"head_dim": 8, "num_local_experts": 2, "intermediate_size_mlp": 48},
        "another kind: chunked_attention",
    ),
    "own positions": (
        "BartForCausalLM",
        {"d_model": 32, "decoder_layers": 1, "decoder_ffn_dim": 32},
        "BartForCausalLM takes no position_ids",
    ),
    "encoder": (
        "T5ForConditionalGeneration",
        {"d_model": 32, "d_ff": 32, "num_layers": 1},
        "it is an encoder-decoder",
    ),
    "convolution": (
        "Lfm2ForCausalLM",
        SMALL | {"layer_types": ["conv", "full_attention"]},
        "another kind: conv",
    ),
}


@pytest.mark.parametrize("case", OBSTACLES)
def test_what_the_configuration_tells(case: str) -> None:
    name, settings_, text = OBSTACLES[case]
    assert text in (obstacle(small(name, settings_)) or "")


def test_a_class_of_another_library_is_refused() -> None:
    class Own(transformers.LlamaForCausalLM):
        pass

    assert obstacle(Own(make_model("llama", seed=1).config)) == "Own is not a class of transformers"


@pytest.mark.parametrize("name", [*FAMILIES, *MORE])
def test_nothing_is_said_against_the_families(name: str) -> None:
    assert obstacle(model_of(name)) is None
    assert disagreement(model_of(name), CPU) is None


def test_a_hidden_mixture_of_tokens_shows_in_the_trial() -> None:
    """A token shift, as RWKV has, that neither class nor configuration tells of."""
    model = make_model("llama", seed=1).eval()
    model.model.layers[1].mlp.register_forward_pre_hook(
        lambda _, inputs: (inputs[0] + inputs[0].roll(1, dims=1),)
    )
    assert obstacle(model) is None
    assert "a trial gave log-likelihoods that are off by" in (disagreement(model, CPU) or "")


def test_a_window_that_is_not_handed_to_the_attention_is_refused() -> None:
    model = make_model("mistral", seed=1).eval()
    model.config.layer_types = ["full_attention", "full_attention"]
    text = "layer 0 has sliding_window=16, its mask None"
    assert text in (disagreement(model, CPU) or "")
    with pytest.raises(NotATreeError, match=text):
        list(PrefixScorer(model, CPU).score([Request([5, 6], [7])]))


@pytest.mark.parametrize(
    ("rope", "expected"),
    [
        ({"rope_type": "default"}, float("inf")),
        (
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
            float("inf"),
        ),
        ({"rope_type": "dynamic", "factor": 4.0}, 256),
    ],
)
def test_rotary_frequencies_that_grow_set_a_limit(rope: dict[str, Any], expected: float) -> None:
    model = make_model("llama", seed=1, rope_parameters={"rope_theta": 10000.0, **rope})
    assert longest_possible(model) == expected
