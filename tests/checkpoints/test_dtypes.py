"""Files of more than one dtype, and values that the dtype asked for cannot hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import torch
from breakage import copied, settings
from exports import export
from safetensors.torch import load_file, save_file
from through_lm_eval import adapted, stock

from pa_harness.errors import PAHarnessError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
# Of a bf16 file what is in fp32: (family, a form of the keys).
EXCEPTIONS = {
    "norms": ("llama", "norm"),
    "head": ("qwen-3", "lm_head"),
    "embedding": ("llama-tied", "embed_tokens"),
    "norms, beside what is always in fp32": ("glm-4-moe", "norm"),
    "router": ("mixtral", r"\.gate\."),
    "positions": ("gpt-2", "wpe"),
    "some of the experts": ("mixtral", r"experts\.[13]\.w1"),
    "most tensors, but few elements": ("gpt-2", r"\.bias|ln_"),
}


def widen(side: Path, part: str, dtype: torch.dtype, *, noise: float = 0.0) -> None:
    """Keep some tensors of a file in another dtype, with digits that the narrow one has not."""
    path = side / "model.safetensors"
    tensors = load_file(path)
    for key in [key for key in tensors if re.search(part, key)]:
        wide = tensors[key].to(dtype)
        tensors[key] = wide * (1 + noise)
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.parametrize("what", EXCEPTIONS)
def test_the_bulk_of_the_files_decides(
    what: str, pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    """As `hf`: bf16, the wider tensors rounded, which is said; dtype=float32 keeps them."""
    family, part = EXCEPTIONS[what]
    pair = copied(pair_of(family, torch.bfloat16), tmp_path)
    for side in pair:
        widen(side, part, torch.float32, noise=2e-3)
    ends = [stock(side).model.state_dict() for side in pair]
    lm = adapted(pair, 1)
    for lam, there in ((1, ends[1]), (0, ends[0])):
        lm.set_lam(lam)
        ours = lm.model.state_dict()
        assert all(ours[name].dtype == value.dtype for name, value in there.items())
        assert all(torch.equal(ours[name], value) for name, value in there.items())
    said = [note for note in lm._notes if "are rounded to torch.bfloat16 as with hf" in note]
    assert len(said) == 2
    wide = adapted(pair, 1, dtype="float32").model.state_dict()
    file = load_file(pair[1] / "model.safetensors")
    assert all(torch.equal(wide[key], value.float()) for key, value in file.items() if key in wide)


@pytest.mark.parametrize("family", ["llama", "gpt-2"])
def test_what_config_json_says_of_plain_files_does_not_count(
    family: str, pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    pair = copied(pair_of(family, torch.bfloat16), tmp_path)
    for side in pair:
        settings(dtype="float32")(side)
    assert adapted(pair, 0.5).model.dtype == torch.bfloat16


def test_sides_of_two_dtypes_meet_in_fp32(pair_of: Callable[..., Pair], tmp_path: Path) -> None:
    """bf16 and fp16 are exact there both, fp64 but for the last digits."""
    pair = copied(pair_of("llama", torch.bfloat16), tmp_path)
    widen(pair[1], "", torch.float16)
    lm = adapted(pair, 1)
    assert lm.model.dtype == torch.float32
    file = load_file(pair[1] / "model.safetensors")
    assert all(torch.equal(lm.model.state_dict()[key], v.float()) for key, v in file.items())
    widen(pair[1], "", torch.float64)
    again = adapted(pair, 1)
    assert all(torch.equal(again.model.state_dict()[key], v.float()) for key, v in file.items())


# family: (a tensor, whether a schedule of bigger λ is what leaves the range)
BEYOND = {
    "llama": "model.norm.weight",
    "gpt-2": "transformer.h.1.mlp.c_fc.bias",
    "mixtral": "model.layers.0.input_layernorm.weight",
}


@pytest.mark.parametrize("family", BEYOND)
def test_values_that_the_dtype_cannot_hold(
    family: str,
    pair_of: Callable[..., Pair],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """fp16 ends at 65,504: an error at load, at a change and at export, before any score."""
    key = BEYOND[family]
    pair = copied(pair_of(family, torch.bfloat16), tmp_path)
    for n, side in enumerate(pair):
        path = side / "model.safetensors"
        tensors = load_file(path)
        tensors[key][3] = 1e5 if n else 1.0
        save_file(tensors, path, metadata={"format": "pt"})
    message = r"takes 1 tensors out of the range of torch\.float16:\n {2}\S+\nUse dtype=f.*16\)\.$"
    for lam in (0.9, 1):
        with pytest.raises(PAHarnessError, match=message):
            adapted(pair, lam, dtype="float16")
    lm = adapted(pair, 0.25, dtype="float16")
    with pytest.raises(PAHarnessError, match=message):
        lm.set_lam(1)
    lm.set_lam(0)
    assert all(value.isfinite().all() for value in lm.model.state_dict().values())
    assert export(pair, tmp_path / "out", 1, "--dtype", "float16") == 2
    assert "out of the range of torch.float16" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
