"""Two checkpoints that do not belong together: the setting, tensor or token is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from breakage import HEAD, NORM, QUERY, attempt, other_tokens, settings, weights
from lm_eval.api.registry import get_model

from pa_harness.errors import PairError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
# what: (sides, changes, message of PairError)
PAIRS: dict[str, tuple[str, list[Callable[[Path], None]], str]] = {
    "tensor missing in one": (
        "base",
        [weights(norm=None)],
        rf"1 of 21 .*\n +{NORM}: only in instr",
    ),
    "tensor missing in both": (
        "both",
        [weights(norm=None)],
        rf"LlamaConfig:\n +{NORM}: missing fro",
    ),
    "extra tensor in one": (
        "instruct",
        [weights(extra=lambda _: torch.ones(2))],
        r"extra\.weight: o",
    ),
    "wrong shape": (
        *("instruct", [weights(query=lambda t: t[:16])]),
        rf"1 of 21 tensors differ in shape:\n +{QUERY}: base \[32, 32\], instruct \[16, 32\]",
    ),
    "one row more": (
        *("instruct", [weights(head=lambda t: torch.cat([t, t[:1]]))]),
        rf"differ in shape:\n +{HEAD}: base \[320, 32\], instruct \[321, 32\]",
    ),
    "hidden size": ("base", [settings(hidden_size=64)], r"hidden_size: base 64, instruct 32"),
    "hidden size in both": (
        *("both", [settings(hidden_size=64)]),
        rf"do not fit LlamaConfig:\n +{HEAD}: checkpoints \[320, 32\], config\.json \[320, 64\]",
    ),
    "rows that config.json does not have": (
        *("both", [settings(vocab_size=10)]),
        rf"{HEAD}: checkpoints \[320, 32\], config\.json \[10, 32\]\n.*Check config\.json",
    ),
    "layers that config.json does not have": (
        *("both", [settings(num_hidden_layers=1)]),
        r"do not fit LlamaConfig:\n +model\.layers\.1\..*: config\.json has too few layers for it",
    ),
    "layers": (
        "instruct",
        [settings(num_hidden_layers=3)],
        r"num_hidden_layers: base 2, instruct 3",
    ),
    "layers in both": (
        "both",
        [settings(num_hidden_layers=3)],
        r"model\.layers\.2\..*: missing from",
    ),
    "model types": (
        "base",
        [settings(model_type="mistral")],
        r"model_type: base 'mistral', instruct",
    ),
    "rope theta": (
        *("instruct", [settings(rope_parameters={"rope_type": "default", "rope_theta": 5e5})]),
        r"rope_theta: base 10000\.0, instruct 500000\.0\n.*config_from=base or config_from=inst",
    ),
    "sliding window": (
        "base",
        [settings(sliding_window=7)],
        r"sliding_window: base 7, instruct None",
    ),
    "tied": (
        "instruct",
        [settings(tie_word_embeddings=True)],
        r"tie_word_embeddings: base False, in",
    ),
    "norm": ("base", [settings(rms_norm_eps=1e-3)], r"rms_norm_eps: base 0\.001, instruct 1e-06"),
    "tokens": (
        *("instruct", [other_tokens]),
        r"2 token ids mean different tokens .*\n +\d+: base '.', instruct '.'\n",
    ),
}


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
