"""Tensors that no λ can move: what both ends hold as integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from breakage import copy
from exports import export
from families import make_instruct, save
from safetensors.torch import load_file, save_file
from through_lm_eval import adapted
from transformers import DeepseekV4Config, DeepseekV4ForCausalLM

from pa_harness.checkpoints.hub import open_checkpoint
from pa_harness.checkpoints.pair import Rules, full_pair
from pa_harness.errors import PairError
from pa_harness.models.vllm.weights import EngineWeights

if TYPE_CHECKING:
    from pathlib import Path

    from through_lm_eval import Pair

KEY = "model.layers.0.mlp.gate.tid2eid"


@pytest.fixture(scope="session")
def hashed(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A pair whose router sends tokens to experts by a table of integers."""
    folder = tmp_path_factory.mktemp("hashed")
    settings = {
        **{"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2, "head_dim": 8},
        **{"num_attention_heads": 4, "num_key_value_heads": 1, "moe_intermediate_size": 16},
        **{"n_routed_experts": 4, "num_experts_per_tok": 2, "q_lora_rank": 16, "o_lora_rank": 16},
        **{"index_n_heads": 2, "index_head_dim": 8, "qk_rope_head_dim": 4, "o_groups": 2},
    }
    torch.manual_seed(1)
    base = DeepseekV4ForCausalLM(DeepseekV4Config(**settings))
    return save(base, folder / "base"), save(make_instruct(base, seed=2), folder / "instruct")


def with_integers(pair: Pair, folder: Path, *, more: int) -> Pair:
    """A copy of the pair; the instruct side's integers are larger by `more`."""
    sides = copy(pair, folder)
    tensors = load_file(sides[1] / "model.safetensors")
    key = next(key for key in tensors if key.endswith("tid2eid"))
    tensors[key] += more
    save_file(tensors, sides[1] / "model.safetensors", metadata={"format": "pt"})
    return sides


def stored_integers(folder: Path) -> torch.Tensor:
    tensors = load_file(folder / "model.safetensors")
    return next(tensor for key, tensor in tensors.items() if key.endswith("tid2eid"))


@pytest.mark.parametrize("lam", [0, 0.3, 1, 1.5])
def test_equal_integers_stay_as_they_are(lam: float, hashed: Pair, tmp_path: Path) -> None:
    assert export(hashed, tmp_path / "model", lam, "--dtype", "bfloat16") == 0
    found = stored_integers(tmp_path / "model")
    assert found.dtype == torch.int64
    assert torch.equal(found, stored_integers(hashed[0]))
    lm = adapted(hashed, 0.9, dtype="bfloat16")
    lm.set_lam(lam)
    assert torch.equal(lm.model.state_dict()[KEY], found)


def test_integers_that_differ_are_refused(
    hashed: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In an export, and before an engine starts, which reads every tensor of both sides."""
    sides = with_integers(hashed, tmp_path / "pair", more=1)
    assert export(sides, tmp_path / "model", 0.5) == 2
    message = f"{KEY} holds integers that differ between base and instruct."
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    base, instruct = map(open_checkpoint, map(str, sides), ("base", "instruct"))
    with pytest.raises(PairError, match=message):
        EngineWeights(full_pair(base, instruct, Rules())).examine_all()
