"""The demo: it says what it will do; its tuning, stopped anywhere, ends with the same weights."""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.demo import __main__ as demo
from benchmarks.demo import tuning
from benchmarks.demo.recipe import QUICK, RECIPE, cache_folder, tuned_name

if TYPE_CHECKING:
    from pathlib import Path


def model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    wanted = LoraConfig(r=2, lora_alpha=4, target_modules=tuning._LINEAR, task_type="CAUSAL_LM")
    return get_peft_model(LlamaForCausalLM(config), wanted)


def weights(lora: Any) -> dict[str, torch.Tensor]:
    return {name: each.clone() for name, each in lora.named_parameters() if each.requires_grad}


@pytest.mark.parametrize(("stops", "left_over"), [([2], 10), ([4, 1, 5], 4)])
def test_a_stopped_tuning_goes_on(
    stops: list[int], left_over: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = torch.Generator().manual_seed(1)
    examples = [(torch.randint(50, (6 + n % 5,), generator=random).tolist(), 3) for n in range(80)]
    whole = model()
    start = weights(whole)
    tuning._train(whole, examples, tmp_path / "whole.pt", RECIPE)
    kept, loss = tmp_path / "kept.pt", tuning._loss
    for stop in stops:
        left = [stop]

        def stopping(lora: Any, batch: Any, left: list[int] = left) -> Any:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return loss(lora, batch)

        monkeypatch.setattr(tuning, "_loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            tuning._train(model(), examples, kept, RECIPE)
    batches = []

    def counting(lora: Any, batch: Any) -> Any:
        batches.append(batch)
        return loss(lora, batch)

    monkeypatch.setattr(tuning, "_loss", counting)
    again = model()
    tuning._train(again, examples, kept, RECIPE)
    assert len(batches) == left_over
    found, right = weights(again), weights(whole)
    assert all(torch.equal(found[name], right[name]) for name in right)
    assert any(not torch.equal(start[name], right[name]) for name in right)


def test_another_setting_is_another_pair() -> None:
    others = [
        replace(QUICK, **{each.name: getattr(QUICK, each.name) + 1}) for each in fields(QUICK)
    ]
    names = [tuned_name(recipe) for recipe in (RECIPE, QUICK, *others)]
    assert len(set(names)) == len(names)


def test_the_demo_says_what_it_will_do_and_a_stop_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(sys, "argv", ["demo", "--limit", "10"])
    (cache_folder() / "base").mkdir(parents=True)
    said = []

    def stop(recipe: Any) -> None:
        said.append((recipe, capsys.readouterr().out))
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "packaged_pair", stop)
    assert demo.main() == 130
    [(recipe, plan)] = said
    assert recipe is QUICK
    assert "1. tune it on 72 instructions" in plan
    assert "3. sweep 3 tasks × 5 λ, up to 10 documents each" in plan
    assert "convert" not in plan  # the base is there
    assert "the same command goes on" in capsys.readouterr().err
