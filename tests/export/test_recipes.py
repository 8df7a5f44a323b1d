"""Exported recipes: mergekit's YAML and scaled adapters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml
from exports import SCHEDULE, export
from loras import CASES, lora, make_adapter
from safetensors.torch import load_file
from through_lm_eval import adapted, stock, weights
from transformers import AutoModelForCausalLM

if TYPE_CHECKING:
    from collections.abc import Callable

Pair = tuple[Path, Path]


@pytest.mark.parametrize("case", ["plain", "transposed", "patterns", "rank-stabilised"])
@pytest.mark.parametrize("lam", [0.4, '{"base": 1, "rules": [{"layers": 0, "lam": 0.25}]}'])
def test_a_lora_pair_as_model_and_as_adapter(case: str, lam: Any, tmp_path: Path) -> None:
    from peft import PeftModel

    pair = make_adapter(tmp_path, *CASES[case])
    assert export(pair, tmp_path / "model", lam, side="peft") == 0
    ours = weights(lora(pair, lam))
    for name, value in weights(stock(tmp_path / "model", dtype="auto")).items():
        assert torch.equal(value, ours[name]), name
    assert export(pair, tmp_path / "scaled", lam, "--format", "adapter", side="peft") == 0
    base = AutoModelForCausalLM.from_pretrained(pair[0], dtype="float32")
    merged = PeftModel.from_pretrained(base, tmp_path / "scaled").merge_and_unload()
    for name, value in merged.named_parameters():
        assert torch.allclose(value, ours[name], atol=1e-6), name


@pytest.mark.parametrize("method", ["linear", "slerp"])
@pytest.mark.parametrize("lam", [0.3, 1, SCHEDULE])
def test_the_mergekit_recipe_is_the_definition(
    lam: Any, method: str, pair: Pair, tmp_path: Path
) -> None:
    """Followed by hand: linear, not normalised, the first filter that a name contains."""
    assert export(pair, tmp_path / "recipe", lam, "--format", "mergekit", method=method) == 0
    recipe = yaml.safe_load((tmp_path / "recipe/mergekit.yaml").read_text())
    assert (recipe["merge_method"], recipe["parameters"]) == ("linear", {"normalize": False})
    assert recipe["models"][0]["model"] == str(pair[1])  # gives configuration and tokenizer
    sides = [load_file(Path(model["model"]) / "model.safetensors") for model in recipe["models"]]
    ours = weights(adapted(pair, lam, method=method))
    for name in sides[0]:
        total = torch.zeros(())
        for model, tensors in zip(recipe["models"], sides, strict=True):
            weight = model["parameters"]["weight"]
            if isinstance(weight, list):
                weight = next(each["value"] for each in weight if each["filter"] in name)
            total = total + weight * tensors[name]
        assert torch.allclose(total, ours[name], atol=1e-6, rtol=0), name


def test_mergekit_cannot_do_it(
    tmp_path: Path, pair_of: Callable[..., Pair], capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(pair_of("mixtral"), tmp_path / "m", SCHEDULE, "--format", "mergekit") == 2
    assert "mergekit fuses tensors before it merges them" in capsys.readouterr().err
    slerp = {"method": "slerp"}
    assert export(pair_of("mixtral"), tmp_path / "m", 0.5, "--format", "mergekit", **slerp) == 2
    assert "mergekit fuses tensors before it merges them" in capsys.readouterr().err
    pair = make_adapter(tmp_path / "pair", *CASES["plain"])
    assert export(pair, tmp_path / "m", 0.5, "--format", "mergekit", side="peft") == 2
    assert "mergekit cannot do this merge" in capsys.readouterr().err
