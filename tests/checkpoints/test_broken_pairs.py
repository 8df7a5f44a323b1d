"""Two checkpoints that do not belong together: the setting, tensor or token is named."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
import torch
import transformers
from breakage import HEAD, NORM, QUERY, attempt, filled, other_tokens, settings, weights
from lm_eval.api.registry import get_model
from through_lm_eval import adapted, assert_same_weights, stock

from pa_harness.cli.main import main
from pa_harness.errors import CheckpointError, PairError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
# what: (sides, changes, message of PairError)
PAIRS: dict[str, tuple[str, list[Callable[[Path], None]], str]] = {
    "hidden size": ("base", [settings(hidden_size=64)], r"hidden_size: base 64, instruct 32"),
    "layers": (
        "instruct",
        [settings(num_hidden_layers=3)],
        r"num_hidden_layers: base 2, instruct 3",
    ),
    "model types": (
        "base",
        [settings(model_type="mistral")],
        r"base is a MistralForCausalLM, instruct a LlamaForCausalLM, and neither",
    ),
    "rope theta": (
        *("instruct", [settings(rope_parameters={"rope_type": "default", "rope_theta": 5e5})]),
        r"rope_theta: base 10000\.0, instruct 500000\.0 \(changes positions\)\n.*config_from=",
    ),
    "norm": ("base", [settings(rms_norm_eps=1e-3)], r"rms_norm_eps: base 0\.001, instruct 1e-06"),
    "tokens": (
        *("instruct", [other_tokens]),
        r"2 token ids mean different tokens .*\n +\d+: base '.', instruct '.'\n",
    ),
}


FIT = r"does not fit LlamaForCausalLM as config\.json describes it"
# what does not fit its own config.json: (sides, changes, message of CheckpointError)
UNFIT: dict[str, tuple[str, list[Callable[[Path], None]], str]] = {
    "tensor missing in one": ("base", [weights(norm=None)], rf"base .*{FIT}.*{NORM}: missing"),
    "tensor missing in both": ("both", [weights(norm=None)], rf"base .*{FIT}.*{NORM}: missing"),
    "wrong shape": (
        *("instruct", [weights(query=lambda t: t[:16])]),
        rf"instruct .*{FIT}.*{QUERY}: \[16, 32\], config\.json asks for \[32, 32\]",
    ),
    "one row more": (
        *("instruct", [weights(head=lambda t: torch.cat([t, t[:1]]))]),
        rf"instruct .*{FIT}.*{HEAD}: \[321, 32\], config\.json asks for \[320, 32\]",
    ),
    "hidden size in both": (
        *("both", [settings(hidden_size=64)]),
        rf"{FIT}.*{HEAD}: \[320, 32\], config\.json asks for \[320, 64\]",
    ),
    "rows that config.json does not have": (
        *("both", [settings(vocab_size=10)]),
        rf"{HEAD}: \[320, 32\], config\.json asks for \[10, 32\]\n.*Check that config\.json",
    ),
    "layers that config.json does not have": (
        *("both", [settings(num_hidden_layers=1)]),
        r"config\.json has too few layers for 9 tensors:\n +model\.layers\.\*\.input",
    ),
    "layers in both": (
        *("both", [settings(num_hidden_layers=3)]),
        rf"{FIT}.*model\.layers\.2\..*: missing",
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_does_not_fit_its_configuration_is_named(
    what: str, pair: Pair, tmp_path: Path
) -> None:
    sides, changes, message = UNFIT[what]
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        attempt(pair, tmp_path, sides, changes)


@pytest.mark.parametrize("what", PAIRS)
def test_what_does_not_belong_together_is_named(what: str, pair: Pair, tmp_path: Path) -> None:
    sides, changes, message = PAIRS[what]
    with pytest.raises(PairError, match=f"(?s){message}"):
        attempt(pair, tmp_path, sides, changes)


def test_vocabularies_of_other_sizes_name_the_way_out(pair: Pair, tmp_path: Path) -> None:
    longer = weights(
        head=lambda t: torch.cat([t, t[:1]]), embedding=lambda t: torch.cat([t, t[:1]])
    )
    with pytest.raises(
        PairError, match=r"320 \(base\) and 321 \(instruct\) rows:(?s:.*)extra_rows=copy"
    ):
        attempt(pair, tmp_path, "instruct", [longer, settings(vocab_size=321)])


def the_same_folder(base: Path, folder: Path) -> str:
    return f"{base}/."


def shards(base: Path, folder: Path) -> str:
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    model.save_pretrained(folder / "shards", max_shard_size="20KB")
    return str(folder / "shards")


def a_wider_dtype(base: Path, folder: Path) -> str:
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.save_pretrained(folder / "wide")
    return str(folder / "wide")


@pytest.mark.parametrize("again", [the_same_folder, shards, a_wider_dtype])
@pytest.mark.parametrize("family", ["llama", "gpt-2", "qwen-2.5"])
def test_the_same_weights_twice(
    family: str,
    again: Callable[[Path, Path], str],
    pair_of: Callable[..., Pair],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Said by every door that opens a pair, those that read no more of it among them."""
    base = pair_of(family, torch.bfloat16)[0]
    both = {"pretrained": str(base), "instruct": again(base, tmp_path)}
    message = "hold the same weights, so λ changes nothing. Name two different checkpoints."
    with pytest.raises(PairError, match=re.escape(message)):
        get_model("partially_adapted")(lam=0.5, device="cpu", **both)
    for verb in (["show-lam"], ["export", "-o", str(tmp_path / "out")]):
        assert main([*verb, "--model_args", json.dumps(both | {"lam": 0.5})]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("where", ["embedding", "norm", "head"])
def test_one_element_is_a_difference(where: str, pair: Pair, tmp_path: Path) -> None:
    """As of a fine-tune whose other layers were frozen."""
    shutil.copytree(pair[0], tmp_path / "tuned")
    weights(**{where: filled(1.5)})(tmp_path / "tuned")
    lm = adapted((pair[0], tmp_path / "tuned"), 1)
    assert_same_weights(lm, stock(tmp_path / "tuned"))
