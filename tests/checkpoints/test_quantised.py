"""FP8 and MXFP4 checkpoints in their published layouts: the values that transformers gives them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from breakage import copy, settings
from families import make_instruct, make_tokenizer
from safetensors.torch import load_file, save_file
from through_lm_eval import adapted

from pa_harness.checkpoints.checkpoint import Checkpoint
from pa_harness.checkpoints.dtypes import bulk_dtype
from pa_harness.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Tensors = dict[str, torch.Tensor]
_FP8 = torch.float8_e4m3fn
_SIZES = {"vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
_HEADS = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_BLOCK = 32


def by_blocks(tensors: Tensors) -> Tensors:
    """DeepSeek-V3, Qwen3-FP8: a scale for every block of every projection."""
    found = dict(tensors)
    for key in [key for key in tensors if key.endswith("_proj.weight")]:
        weight = tensors[key].float()
        rows, columns = weight.shape
        parts = weight.reshape(rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK)
        scale = parts.abs().amax((1, 3)) / 448
        found[key] = (parts / scale[:, None, :, None]).reshape(rows, columns).to(_FP8)
        found[f"{key}_scale_inv"] = scale
    return found


def by_tensor(tensors: Tensors) -> Tensors:
    """Ministral 3: one scale for a projection, and one for what goes in."""
    found = dict(tensors)
    for key in [key for key in tensors if key.endswith("_proj.weight")]:
        scale = tensors[key].float().abs().max() / 448
        found[key] = (tensors[key].float() / scale).to(_FP8)
        found[f"{key}_scale_inv"] = scale.to(torch.bfloat16)
        found[key.replace("weight", "activation_scale")] = torch.tensor(1.5, dtype=torch.bfloat16)
    return found


def by_fours(tensors: Tensors) -> Tensors:
    """gpt-oss: experts of four bits, two in a byte, and an exponent for 32 of them."""
    generator = torch.Generator().manual_seed(3)
    found = dict(tensors)
    for key in [key for key in tensors if key.endswith(("gate_up_proj", "down_proj"))]:
        experts, columns, rows = tensors[key].shape
        shape = (experts, rows, columns // 32, 16)
        found[f"{key}_blocks"] = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        scales = torch.randint(118, 124, shape[:3], generator=generator, dtype=torch.uint8)
        found[f"{key}_scales"] = scales
        del found[key]
    return found


_BLOCKS = {"quant_method": "fp8", "weight_block_size": [_BLOCK, _BLOCK]}
_TENSORS = {"quant_method": "fp8", "weight_block_size": None, "activation_scheme": "static"}
_OSS = {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16}
# what: (class, its settings, how the file is quantised, quantization_config)
KINDS: dict[str, tuple[str, dict[str, Any], Callable[[Tensors], Tensors], dict[str, Any]]] = {
    "fp8 by blocks": ("Qwen3ForCausalLM", {}, by_blocks, _BLOCKS),
    "fp8 by blocks, experts": ("Qwen3MoeForCausalLM", _EXPERTS, by_blocks, _BLOCKS),
    "fp8 by tensor": ("Ministral3ForCausalLM", {}, by_tensor, _TENSORS),
    "fp8 by tensor, biases": ("Qwen2ForCausalLM", {}, by_tensor, _TENSORS),
    "fp8 by tensor, experts": ("Qwen3MoeForCausalLM", _EXPERTS, by_tensor, _TENSORS),
    "mxfp4": ("GptOssForCausalLM", _OSS, by_fours, {"quant_method": "mxfp4"}),
}


def make(what: str, folder: Path, *, both: bool = False) -> tuple[Path, Path]:
    """A bf16 base and an instruct side that is quantised (or both)."""
    name, more, quantised, method = KINDS[what]
    torch.manual_seed(1)
    cls = getattr(transformers, name)
    base = cls(cls.config_class(**_SIZES, **_HEADS, **more)).to(torch.bfloat16)
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    for side, model in (("base", base), ("instruct", make_instruct(base, seed=2))):
        model.save_pretrained(folder / side)
        make_tokenizer().save_pretrained(folder / side)
        if side == "instruct" or both:
            path = folder / side / "model.safetensors"
            tensors = {k: v.contiguous() for k, v in quantised(load_file(path)).items()}
            save_file(tensors, path, metadata={"format": "pt"})
            config = json.loads((folder / side / "config.json").read_text())
            config["quantization_config"] = method
            (folder / side / "config.json").write_text(json.dumps(config))
    return folder / "base", folder / "instruct"


def plain(folder: Path) -> Tensors:
    """transformers' own values; it dequantises by itself where there is no GPU for it."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    return model.state_dict()


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("what", KINDS)
def test_values_are_those_of_transformers(what: str, both: bool, tmp_path: Path) -> None:
    pair = make(what, tmp_path, both=both)
    base, instruct = plain(pair[0]), plain(pair[1])
    lm = adapted(pair, 0)
    assert lm.model.dtype == torch.bfloat16
    for lam, there in ((0, base), (1, instruct)):
        lm.set_lam(lam)
        fresh = adapted(pair, lam)
        for name, value in there.items():
            assert torch.equal(lm.model.state_dict()[name], value), name
            assert torch.equal(fresh.model.state_dict()[name], value), name
    lm.set_lam(0.3)
    for name, value in lm.model.state_dict().items():
        between = torch.lerp(base[name].float(), instruct[name].float(), 0.3).bfloat16()
        assert torch.equal(value, between), name
    assert any("values are dequantised to torch.bfloat16" in note for note in lm._notes)


@pytest.mark.parametrize(
    ("changes", "dtype"),
    [
        ({"dtype": "float16"}, torch.float16),
        ({"torch_dtype": "float16"}, torch.float16),
        ({"text_config": {"dtype": "float16"}}, torch.float16),  # of a wrapper
        ({"dtype": "auto"}, torch.bfloat16),
        ({}, torch.bfloat16),
    ],
)
@pytest.mark.parametrize("what", ["fp8 by blocks", "mxfp4"])
def test_the_dtype_of_quantised_files_is_that_of_their_settings(
    what: str, changes: dict[str, Any], dtype: torch.dtype, tmp_path: Path
) -> None:
    side = make(what, tmp_path)[1]
    settings(**{"dtype": None, "torch_dtype": None} | changes)(side)
    assert bulk_dtype(Checkpoint("instruct", "instruct", side)) is dtype


def test_dequantising_may_be_refused(tmp_path: Path) -> None:
    pair = make("fp8 by blocks", tmp_path)
    message = r"instruct '.*' is quantised \(fp8\): 14 of \d+ (?s:.*)Leave out dequantize=False"
    with pytest.raises(CheckpointError, match=message):
        adapted(pair, 0.5, dequantize=False)


def test_settings_left_over_from_training_quantise_nothing(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """QLoRA merged into 16-bit files, whose config.json still speaks of four bits."""
    sides = copy(pair, tmp_path)
    four = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    settings(quantization_config=four)(sides[1])
    settings(compression_config={"quant_method": "compressed-tensors"})(sides[0])
    lm, expected = adapted(sides, 0.5), adapted(pair, 0.5)
    for name, value in expected.model.state_dict().items():
        assert torch.equal(lm.model.state_dict()[name], value)
    assert sum("the files hold none" in note for note in lm._notes) == 2
