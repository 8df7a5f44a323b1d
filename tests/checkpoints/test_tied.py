"""Heads that are the embedding, on paper or in the files: what counts is what `hf` evaluates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from breakage import copied, settings
from exports import export
from families import make_tokenizer
from safetensors.torch import load_file, save_file
from through_lm_eval import adapted, scores, stock

from benchmarks.support.architecture_row import make
from pa_harness.errors import PairError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
# Of a family the head and the embedding.
TIED = {
    "llama-tied": ("lm_head.weight", "model.embed_tokens.weight"),
    "qwen-2.5": ("lm_head.weight", "model.embed_tokens.weight"),
    "gemma-2": ("lm_head.weight", "model.embed_tokens.weight"),
    "gpt-2": ("lm_head.weight", "transformer.wte.weight"),
}


def give_head(side: Path, family: str, *, own: bool) -> torch.Tensor:
    """Spell the head out in the file: the embedding, or another one of its own."""
    head, embedding = TIED[family]
    path = side / "model.safetensors"
    tensors = load_file(path)
    value = tensors[embedding].clone()
    if own:
        value += torch.randn(value.shape, generator=torch.Generator().manual_seed(9)) * 0.05
    save_file(tensors | {head: value}, path, metadata={"format": "pt"})
    return value


def states(pair: Pair) -> list[dict[str, Any]]:
    """What lm-eval's `hf` has of both sides."""
    return [stock(side).model.state_dict() for side in pair]


def check_between(lm: Any, ends: list[dict[str, Any]], lams: tuple[float, ...]) -> None:
    for lam in lams:
        lm.set_lam(lam)
        for name, value in lm.model.state_dict().items():
            assert torch.equal(value, torch.lerp(ends[0][name], ends[1][name], lam)), (lam, name)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("family", TIED)
def test_heads_spelled_out_under_a_tied_configuration(
    family: str, own: bool, pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    """`hf` ties them all the same; so do λ_eff, the digest of the weights and the export."""
    pair = copied(pair_of(family), tmp_path)
    for side in pair:
        give_head(side, family, own=own)
    lm, clean = adapted(pair, 0.5), adapted(pair_of(family), 0.5)
    check_between(lm, states(pair), (0, 0.3, 1, 0.5))
    ours, theirs = lm.get_model_info(), clean.get_model_info()
    assert ours["lam_eff"] == theirs["lam_eff"] == pytest.approx(0.5, abs=1e-6)
    assert ours["weights"] == theirs["weights"]
    said = [note for note in lm._notes if "as with hf, the tied value counts" in note]
    assert len(said) == 2 * own
    assert export(pair, tmp_path / "out", 0.5) == 0
    assert scores(stock(tmp_path / "out")) == scores(lm)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(again[name], v) for name, v in lm.model.state_dict().items())


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("untied", [0, 1])
@pytest.mark.parametrize("family", ["llama-tied", "gemma-2"])
def test_one_side_has_a_head_of_its_own(
    family: str, untied: int, own: bool, pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    """θ_λ then has one, which on the tied side is the embedding; both ends are `hf`."""
    pair = copied(pair_of(family), tmp_path)
    give_head(pair[untied], family, own=own)
    settings(tie_word_embeddings=False)(pair[untied])
    ends = states(pair)
    lm = adapted(pair, 0.3)
    assert not lm.model.config.tie_word_embeddings
    check_between(lm, ends, (0.3, 0, 1, 0.3))
    for lam, side in enumerate(pair):
        assert scores(adapted(pair, lam)) == scores(stock(side))
    assert export(pair, tmp_path / "out", 0.3) == 0
    written = json.loads((tmp_path / "out/config.json").read_text())
    assert written["tie_word_embeddings"] is False
    assert scores(stock(tmp_path / "out")) == scores(lm)


def test_the_tied_sides_configuration_may_be_asked_for(tied_pair: Pair, tmp_path: Path) -> None:
    """config_from=base: the head of the other side takes no part, which is said."""
    pair = copied(tied_pair, tmp_path)
    give_head(pair[1], "llama-tied", own=True)
    settings(tie_word_embeddings=False)(pair[1])
    lm = adapted(pair, 1, config_from="base")
    assert lm.model.lm_head.weight is lm.model.model.embed_tokens.weight
    assert any("take no part in LlamaForCausalLM" in note for note in lm._notes)


@pytest.mark.parametrize("kind", ["cohere", "jetmoe"])
def test_code_that_names_the_setting_and_does_nothing_with_it(kind: str, tmp_path: Path) -> None:
    pair = make(kind, tmp_path, make_tokenizer())
    for side in pair:
        settings(tie_word_embeddings=True)(side)
    settings(tie_word_embeddings=False)(pair[1])
    path = pair[1] / "model.safetensors"
    tensors = load_file(path)
    head = torch.randn(320, 32, generator=torch.Generator().manual_seed(9)) * 0.05
    save_file(tensors | {"lm_head.weight": head}, path, metadata={"format": "pt"})
    lm = adapted(pair, 0.3, dtype="float32")
    check_between(lm, states(pair), (0.3, 0, 1))
    assert torch.equal(states(pair)[1]["lm_head.weight"], head)


def test_a_forward_pass_that_scales_by_the_setting(tmp_path: Path) -> None:
    """The same weights then compute something else."""
    pair = make("switch_transformers", tmp_path, make_tokenizer())
    settings(tie_word_embeddings=True)(pair[0])
    settings(tie_word_embeddings=False)(pair[1])
    with pytest.raises(PairError, match=r"tie_word_embeddings: base True, instruct False"):
        adapted(pair, 0.5)
