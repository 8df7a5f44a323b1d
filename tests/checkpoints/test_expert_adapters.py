"""LoRA on experts and on the text inside a wrapper, in the names of every age, against peft."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from exports import export
from families import FAMILIES, make_model, save
from loras import lora
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from wrappers import make_pair, own, text_names

if TYPE_CHECKING:
    from pathlib import Path

Tensors = dict[str, torch.Tensor]
_STACKS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
_QWEN = {
    **FAMILIES["qwen-3"][1],
    **{"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
}
_OSS = {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16, "head_dim": 8}
MORE = {
    "qwen-3-moe": ("Qwen3MoeForCausalLM", _QWEN),
    "gpt-oss": ("GptOssForCausalLM", {**FAMILIES["llama"][1], **_OSS}),
}
# How a file of transformers 4 names an expert's layers: (path, gate, up, down).
OLD_NAMES = {
    "mixtral": ("block_sparse_moe.experts", "w1", "w3", "w2"),
    "qwen-3-moe": ("mlp.experts", "gate_proj", "up_proj", "down_proj"),
    "glm-4-moe": ("mlp.experts", "gate_proj", "up_proj", "down_proj"),
}


@pytest.fixture(autouse=True)
def _more_families(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, family in MORE.items():
        monkeypatch.setitem(FAMILIES, name, family)


def make_base(family: str, folder: Path) -> Any:
    base = make_model(family, seed=1, vocab_size=300)
    save(base, folder / "base")
    return base


def merged(base: Path, adapter: Path) -> Tensors:
    """What peft makes of them."""
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    peft: Any = PeftModel.from_pretrained(model, adapter)
    found: Tensors = peft.merge_and_unload().state_dict()
    return found


def check(pair: tuple[Path, Path], base: Tensors, instruct: Tensors) -> None:
    """λ at load and at a change; fp32, so that only the order of its operations is free."""
    lm = lora(pair, 0.4)
    for lam in (0.4, 0, 1, 0.4):
        lm.set_lam(lam)
        for name, value in lm.model.state_dict().items():
            between = torch.lerp(base[name], instruct[name], lam)
            assert torch.allclose(value, between, rtol=0, atol=2e-6), (lam, name)
    assert any(not torch.equal(base[name], v) for name, v in lm.model.state_dict().items())


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("family", ["mixtral", "glm-4-moe", *MORE])
def test_stacked_experts_by_name(family: str, both: bool, tmp_path: Path) -> None:
    """peft's target_parameters, one or two of a module, beside an ordinary layer."""
    base = make_base(family, tmp_path)
    before = {name: value.clone() for name, value in base.state_dict().items()}
    torch.manual_seed(3)
    config = LoraConfig(
        **{"r": 4, "lora_alpha": 8, "init_lora_weights": False, "target_modules": ["q_proj"]},
        target_parameters=_STACKS if both else _STACKS[1:],
    )
    get_peft_model(base, config).save_pretrained(tmp_path / "adapter")
    pair = tmp_path / "base", tmp_path / "adapter"
    check(pair, before, merged(*pair))


@pytest.mark.parametrize("family", OLD_NAMES)
def test_one_lora_for_each_expert(family: str, tmp_path: Path) -> None:
    """Of the days when experts were modules; the export has them in the base's files."""
    base = make_base(family, tmp_path)
    before: Tensors = base.state_dict()
    path, gate, up, down = OLD_NAMES[family]
    torch.manual_seed(3)
    factors: Tensors = {}
    after = {name: value.clone() for name, value in before.items()}
    for stack in [name for name in before if name.endswith("experts.gate_up_proj")]:
        layer = stack.split(".mlp.")[0]
        width = before[stack].shape[1] // 2
        for expert in range(4):
            for name, target, rows in (
                (gate, stack, slice(0, width)),
                (up, stack, slice(width, None)),
                (down, stack.replace("gate_up", "down"), slice(None)),
            ):
                part = after[target][expert, rows]
                a, b = torch.randn(4, part.shape[1]) * 0.1, torch.randn(part.shape[0], 4) * 0.1
                key = f"base_model.model.{layer}.{path}.{expert}.{name}"
                factors |= {f"{key}.lora_A.weight": a, f"{key}.lora_B.weight": b}
                part += 2 * b @ a
    adapter = tmp_path / "adapter"
    LoraConfig(r=4, lora_alpha=8, target_modules=[gate, up, down]).save_pretrained(str(adapter))
    save_file(factors, adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    pair = tmp_path / "base", adapter
    check(pair, before, after)
    assert export(pair, tmp_path / "out", 1, side="peft") == 0
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.allclose(again[name], v, rtol=0, atol=2e-6) for name, v in after.items())
    keys = [load_file(side / "model.safetensors").keys() for side in (pair[0], tmp_path / "out")]
    assert keys[0] == keys[1]


SPELLED = {  # how adapters of the three ages name a layer of a wrapper's text
    "the wrapper of today": "model.language_model.layers",
    "the wrapper of transformers 4": "language_model.model.layers",
    "the text model": "model.layers",
}


@pytest.mark.parametrize("spelling", SPELLED)
@pytest.mark.parametrize("name", ["gemma 3", "llava", "qwen 3.5", "mistral 3"])
def test_the_text_of_a_wrapper(name: str, spelling: str, tmp_path: Path) -> None:
    base = make_pair(name, tmp_path, base="wrapper", instruct="wrapper")[0]
    wrapper = own(base)
    before: Tensors = wrapper.state_dict()
    key = text_names(name, wrapper)["model.layers.1.mlp.up_proj.weight"]
    torch.manual_seed(3)
    a, b = torch.randn(4, 32) * 0.1, torch.randn(48, 4) * 0.1
    module = f"base_model.model.{SPELLED[spelling]}.1.mlp.up_proj"
    factors = {f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b}
    adapter = tmp_path / "adapter"
    LoraConfig(r=4, lora_alpha=8, target_modules=["up_proj"]).save_pretrained(str(adapter))
    save_file(factors, adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    lm = lora((base, adapter), 0.3)
    lm.set_lam(0.7)
    assert export((base, adapter), tmp_path / "out", 0.7, side="peft", dtype="float32") == 0
    after = own(tmp_path / "out").state_dict()
    moved = torch.add(before[key], b @ a, alpha=2 * 0.7)
    assert torch.allclose(after[key], moved, rtol=0, atol=2e-6)
    assert all(torch.equal(after[each], v) for each, v in before.items() if each != key)
    inner = lm.model.get_decoder().layers[1].mlp.up_proj.weight
    assert torch.equal(inner, after[key])


def test_a_module_of_no_spelling_is_named(tmp_path: Path) -> None:
    from pa_harness.errors import PairError

    make_base("mixtral", tmp_path)
    key = "base_model.model.model.layers.0.mlp.experts.9.gate_proj"
    factors = {f"{key}.lora_A.weight": torch.ones(4, 32), f"{key}.lora_B.weight": torch.ones(48, 4)}
    LoraConfig(r=4, target_modules=["gate_proj"]).save_pretrained(str(tmp_path / "adapter"))
    save_file(factors, tmp_path / "adapter/adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        PairError, match=r"adapts 1 modules that base does not have:\n .*experts\.9"
    ):
        lora((tmp_path / "base", tmp_path / "adapter"), 0.5)
