"""Which models may share prefixes: what is refused, and by what."""

from __future__ import annotations

from typing import Any

import pytest
import transformers
from families import FAMILIES, make_model
from small_models import MORE, SMALL, model_of, small

from pa_harness.prefixes.compatibility import longest_possible, no_tree

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
    assert text in (no_tree(small(name, settings_)) or "")


def test_a_class_of_another_library_is_refused() -> None:
    class Own(transformers.LlamaForCausalLM):
        pass

    assert no_tree(Own(make_model("llama", seed=1).config)) == "Own is not a class of transformers"


@pytest.mark.parametrize("name", [*FAMILIES, *MORE])
def test_nothing_is_said_against_the_families(name: str) -> None:
    assert no_tree(model_of(name)) is None


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
