"""Two checkpoints that do not belong together: the setting, tensor or token is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from breakage import HEAD, NORM, QUERY, attempt, other_tokens, settings, weights
from lm_eval.api.registry import get_model

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


def test_the_same_folder_twice(pair: Pair) -> None:
    both = {"pretrained": str(pair[0]), "instruct": f"{pair[0]}/."}
    with pytest.raises(PairError, match=r"hold the same weights, so λ changes nothing\. Check the"):
        get_model("partially_adapted")(lam=0.5, device="cpu", **both)
