"""Values that transformers' initialisation writes over loaded ones: at every λ those of `hf`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from exports import export
from families import make_tokenizer
from safetensors.torch import load_file
from through_lm_eval import adapted, assert_same_weights, stock

from benchmarks.support.architecture_row import make
from pa_harness.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

# type: (what is written over, where in it, the value there after every load)
OVERWRITTEN: dict[str, tuple[str, int, float]] = {
    "youtu": ("model.embed_tokens.weight", 2, 0.0),  # the padding's row
    "zaya": ("model.layers.1.mlp.gate.balancing_biases", -1, -1.0),
}


@pytest.mark.parametrize("kind", OVERWRITTEN)
def test_what_is_written_over_is_the_same_at_load_change_and_export(
    kind: str, tmp_path: Path
) -> None:
    name, row, value = OVERWRITTEN[kind]
    pair = make(kind, tmp_path, make_tokenizer())
    files = [load_file(side / "model.safetensors") for side in pair]
    assert all(bool((file[name][row] != value).all()) for file in files)
    ends = [stock(side, dtype="float32").model.state_dict() for side in pair]
    lm = adapted(pair, 0.3, dtype="float32")
    for lam in (0.3, 0, 1, 0.3):
        fresh = adapted(pair, lam, dtype="float32").model.state_dict()
        lm.set_lam(lam)
        for key, ours in lm.model.state_dict().items():
            assert torch.equal(ours, torch.lerp(ends[0][key], ends[1][key], lam)), (lam, key)
            assert torch.equal(ours, fresh[key]), (lam, key)
        assert bool((lm.model.state_dict()[name][row] == value).all())
    bent = {lam: adapted(pair, lam, dtype="float32", method="slerp") for lam in (0.3, 1)}
    bent[1].set_lam(0.3)
    assert_same_weights(bent[0.3], bent[1])
    assert export(pair, tmp_path / "out", 0.3, dtype="float32") == 0
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(again[key], ours) for key, ours in lm.model.state_dict().items())


@pytest.mark.parametrize("family", ["llama", "gpt-2"])
def test_random_values_after_every_load_are_refused(
    family: str, pair_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a model whose initialisation is of the old days: in place, whatever was loaded."""
    cls = type(adapted(pair_of(family), 0.5).model)

    def drawn(self: Any, module: Any) -> None:
        if isinstance(module, torch.nn.Embedding):
            module.weight.data.normal_(0.0, 0.02)

    monkeypatch.setattr(cls.__bases__[0], "_init_weights", drawn)
    with pytest.raises(
        CheckpointError, match=rf"{cls.__name__} fills \S+ with random values after"
    ):
        adapted(pair_of(family), 0.5)
