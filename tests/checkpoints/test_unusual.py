"""Checkpoints out of the ordinary that people nevertheless have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from breakage import copied
from families import make_instruct, make_model, save
from safetensors.torch import load_file, save_file
from through_lm_eval import adapted, assert_same_weights, stock

from pa_harness.weights.opening import open_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
MODELING = """
from transformers import LlamaConfig, LlamaForCausalLM

class OddConfig(LlamaConfig):
    model_type = "odd"

class OddForCausalLM(LlamaForCausalLM):
    config_class = OddConfig
"""


def test_buffers_of_old_releases_in_one_checkpoint_only(
    pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    """GPT-2 of the hub still carries its causal masks, a re-saved fine-tune does not."""
    pair = copied(pair_of("gpt-2"), tmp_path)
    path = pair[0] / "model.safetensors"
    old = load_file(path)
    for layer in range(2):
        old[f"transformer.h.{layer}.attn.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.uint8)
        old[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(old, path, metadata={"format": "pt"})
    assert_same_weights(adapted(pair, 0.5), adapted(pair_of("gpt-2"), 0.5))


def test_names_without_the_base_model_prefix(pair_of: Callable[..., Pair], tmp_path: Path) -> None:
    """The hub's gpt2 says `wte.weight` where the module is `transformer.wte.weight`."""
    pair = copied(pair_of("gpt-2"), tmp_path)
    for side in pair:
        path = side / "model.safetensors"
        bare = {key.removeprefix("transformer."): value for key, value in load_file(path).items()}
        save_file(bare, path, metadata={"format": "pt"})
    lm = adapted(pair, 0.2)
    lm.set_lam(0.5)
    assert_same_weights(lm, adapted(pair_of("gpt-2"), 0.5))


@pytest.mark.parametrize(
    ("family", "setting"), [("mixtral", "num_local_experts"), ("glm-4-moe", "n_routed_experts")]
)
def test_more_experts_than_ten(family: str, setting: str, tmp_path: Path) -> None:
    """Their files are one an expert, and 10 comes after 9."""
    models = [make_model(family, seed=1, **{setting: 12})]
    models.append(make_instruct(models[0], seed=2))
    pair = tmp_path / "base", tmp_path / "instruct"
    for model, side in zip(models, pair, strict=True):
        save(model, side)
    assert any(".experts.10." in key for key in load_file(pair[1] / "model.safetensors"))
    lm = adapted(pair, 0.3)
    base, instruct = (model.state_dict() for model in models)
    for lam in (0.3, 1):
        lm.set_lam(lam)
        for name, value in lm.model.state_dict().items():
            assert torch.equal(value, torch.lerp(base[name], instruct[name], lam)), (lam, name)
    sides = {"pretrained": str(pair[0]), "instruct": str(pair[1]), "lam": 1, "device": "cpu"}
    for name, part in open_weights(sides).weights.pair.slices[1].items():  # as a shard is read
        assert torch.equal(part[3:11], instruct[name][3:11]), name


def test_a_tied_head_spelled_out_by_one_side(pair_of: Callable[..., Pair], tmp_path: Path) -> None:
    pair = copied(pair_of("llama-tied"), tmp_path)
    path = pair[1] / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, path, metadata={"format": "pt"})
    assert_same_weights(adapted(pair, 0.5), adapted(pair_of("llama-tied"), 0.5))


def test_a_tied_head_spelled_out_by_both_sides(
    pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    pair = copied(pair_of("llama-tied"), tmp_path)
    for side in pair:
        path = side / "model.safetensors"
        tensors = load_file(path)
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        save_file(tensors, path, metadata={"format": "pt"})
    lm = adapted(pair, 0.1)
    lm.set_lam(0.5)
    assert_same_weights(lm, adapted(pair_of("llama-tied"), 0.5))


def test_remote_code(pair_of: Callable[..., Pair], tmp_path: Path) -> None:
    pair = copied(pair_of("llama"), tmp_path)
    for side in pair:
        config = json.loads((side / "config.json").read_text())
        config |= {
            "model_type": "odd",
            "architectures": ["OddForCausalLM"],
            "auto_map": {
                "AutoConfig": "modeling_odd.OddConfig",
                "AutoModelForCausalLM": "modeling_odd.OddForCausalLM",
            },
        }
        (side / "config.json").write_text(json.dumps(config))
        (side / "modeling_odd.py").write_text(MODELING)
    lm = adapted(pair, 1, trust_remote_code=True)
    assert type(lm.model).__name__ == "OddForCausalLM"
    assert_same_weights(lm, stock(pair_of("llama")[1]))


def test_attention_implementation_reaches_the_model(pair: Pair) -> None:
    lm = adapted(pair, 0.5, attn_implementation="eager")
    assert lm.model.config._attn_implementation == "eager"
