"""A LoRA as the instruct side, against peft and against lm-eval's own `hf` with `peft=`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from breakage import other_tokens
from families import make_model, make_tokenizer, save
from loras import CASES, lora, make_adapter
from peft import LoraConfig, get_peft_model
from through_lm_eval import adapted, assert_same_weights, scores, stock, weights
from transformers import AutoModelForCausalLM

from pa_harness.errors import AdapterError, PairError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("case", CASES)
def test_ends_are_the_base_and_hf_with_peft(case: str, tmp_path: Path) -> None:
    pair = make_adapter(tmp_path, *CASES[case])
    lm = lora(pair, 0)
    assert_same_weights(lm, stock(pair[0]))
    lm.set_lam(1)
    with_peft = scores(stock(pair[0], peft=str(pair[1])))
    for (ours, _), (theirs, _) in zip(scores(lm), with_peft, strict=True):
        assert ours == pytest.approx(theirs, abs=2e-4)  # merged against added in the activations
    assert scores(lm) != scores(stock(pair[0]))


@pytest.mark.parametrize("case", CASES)
def test_between_the_ends_it_is_lam_times_what_peft_merges(case: str, tmp_path: Path) -> None:
    from peft import PeftModel

    pair = make_adapter(tmp_path, *CASES[case])
    base = dict(AutoModelForCausalLM.from_pretrained(pair[0]).named_parameters())
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(pair[0]), pair[1])
    merged = dict(merged.merge_and_unload().named_parameters())
    lm = lora(pair, 0.3)
    for name, value in weights(lm).items():
        expected = base[name].double() + 0.3 * (merged[name].double() - base[name].double())
        assert torch.allclose(value.double(), expected.detach(), atol=1e-6), name
    lm.set_lam(0.8)
    lm.set_lam(0.3)
    assert_same_weights(lm, lora(pair, 0.3))


@pytest.mark.parametrize("saved", [False, True])
def test_embedding_adapters_follow_peft(saved: bool, tmp_path: Path) -> None:
    """peft saves the embedding along with its adapter, unless told not to."""
    from peft import PeftModel

    pair = make_adapter(tmp_path, "llama", {"target_modules": ["embed_tokens"]}, saved=saved)
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(pair[0]), pair[1])
    expected = merged.merge_and_unload().get_input_embeddings().weight
    assert torch.allclose(weights(lora(pair, 1))["model.embed_tokens.weight"], expected, atol=1e-6)


def test_results_name_base_and_adapter(tmp_path: Path) -> None:
    pair = make_adapter(tmp_path, *CASES["plain"])
    info = lora(pair, 0.5).get_model_info()
    assert info["peft"]["name"] == str(pair[1])
    assert info["peft"]["sha"].startswith("content-")
    assert info["tokenizer_source"] == str(pair[0])
    assert info["lam_eff"] == pytest.approx(0.5, abs=1e-5)


def test_bf16_base_gets_one_rounding(tmp_path: Path) -> None:
    pair = make_adapter(tmp_path, *CASES["plain"])
    rounded = lora(pair, 0.5, dtype="bfloat16")
    exact = lora(pair, 0.5)
    for name, value in weights(rounded).items():
        assert torch.equal(value, weights(exact)[name].bfloat16()), name


def test_the_weights_are_stored_as_the_bases(tmp_path: Path) -> None:
    """What an adapter adds is computed in fp32, and no reason to store the sum in fp32."""
    _, adapter = make_adapter(tmp_path, *CASES["plain"])
    base = save(make_model("llama", seed=1, vocab_size=300).bfloat16(), tmp_path / "narrow")
    lm = lora((base, adapter), 0.5)
    assert lm.get_model_info()["model_dtype"] == "torch.bfloat16"
    assert {value.dtype for value in weights(lm).values()} == {torch.bfloat16}


def test_lora_pair_and_full_pair_agree(tmp_path: Path) -> None:
    """The same instruct model, once as an adapter and once merged."""
    from peft import PeftModel

    pair = make_adapter(tmp_path, *CASES["plain"])
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(pair[0]), pair[1])
    save(merged.merge_and_unload(), tmp_path / "merged")
    full = adapted((pair[0], tmp_path / "merged"), 0.3)
    for name, value in weights(lora(pair, 0.3)).items():
        assert torch.allclose(value, weights(full)[name], atol=1e-6), name


def test_the_adapters_own_tokenizer_is_checked_against_the_base(tmp_path: Path) -> None:
    pair = make_adapter(tmp_path, *CASES["plain"])
    tokenizer = make_tokenizer(extra=("<new>",))
    tokenizer.save_pretrained(pair[1])
    notes = lora(pair, 1).get_model_info()["notes"]
    assert any("300: '<new>'" in note and "have no embedding row" in note for note in notes)
    other_tokens(pair[1])
    with pytest.raises(PairError, match="token ids mean different tokens in base and peft"):
        lora(pair, 1)


def test_an_untrained_adapter_is_refused(tmp_path: Path) -> None:
    base = make_model("llama", seed=1, vocab_size=300)
    save(base, tmp_path / "base")
    config = LoraConfig(r=2, target_modules=["q_proj"])
    get_peft_model(base, config).save_pretrained(tmp_path / "adapter")
    with pytest.raises(AdapterError, match=r"was never trained \(every ΔW is 0\)"):
        lora((tmp_path / "base", tmp_path / "adapter"), 1)
