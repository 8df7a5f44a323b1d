"""The trial sees what a model does otherwise: wrong scales, caps, windows, mixtures of tokens."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from families import FAMILIES, make_model
from small_models import CPU, MORE, model_of, small

from benchmarks.support.tiny_models import saved_class, tiny_config, tiny_model
from pa_harness.prefixes.attention import tree as attention
from pa_harness.prefixes.attention.kernels import Score
from pa_harness.prefixes.attention.tree import NotATreeError
from pa_harness.prefixes.forms import TREE
from pa_harness.prefixes.limits import Limits, largest
from pa_harness.prefixes.reading import Reader
from pa_harness.prefixes.scoring import Plan, Request, score
from pa_harness.prefixes.trial import TOLERANCE, _apart, chosen, disagreement, shrunken

if TYPE_CHECKING:
    from collections.abc import Callable

Wrong = dict[str, Any]
LLAMA_8B = {"num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}
LARGE: dict[str, transformers.PretrainedConfig] = {
    "llama 8b": transformers.LlamaConfig(
        **LLAMA_8B, num_hidden_layers=32, vocab_size=128256, eos_token_id=[128001, 128009]
    ),
    "gemma 2": transformers.Gemma2Config(),
    "gemma 3, one layer in six sees all": transformers.Gemma3TextConfig(
        num_hidden_layers=26, sliding_window=512
    ),
    "gpt-oss": transformers.GptOssConfig(),
    "opt": transformers.OPTConfig(num_hidden_layers=12),
    "phi 3": transformers.Phi3Config(),
}


@pytest.mark.parametrize("name", [*FAMILIES, *MORE])
def test_nothing_is_said_against_the_families(name: str) -> None:
    assert disagreement(model_of(name), TREE) is None
    model = shrunken(model_of(name))
    assert max(_apart(model, TREE, tokens) for tokens in (24, 256)) < 0.5 * TOLERANCE


@pytest.mark.parametrize("name", LARGE)
def test_large_models_are_tried_small(name: str) -> None:
    config = LARGE[name]
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    before = model.config.to_dict()
    tried = shrunken(model)
    assert sum(each.numel() for each in tried.parameters()) < 4_000_000
    assert next(tried.parameters()).dtype == torch.float32
    assert next(tried.parameters()).device == CPU
    kinds, before_kinds = (getattr(each, "layer_types", None) for each in (tried.config, config))
    assert set(kinds or ()) == set(before_kinds or ())
    assert model.config.to_dict() == before
    assert disagreement(model, TREE) is None


def wrong(monkeypatch: pytest.MonkeyPatch, change: Callable[[Wrong], Wrong]) -> None:
    """Have layers ask for other attention than the models do."""
    attend = attention.TreeAttention._attend

    def other(self: Any, *tensors: Any, **asked: Any) -> Any:
        return attend(self, *tensors, **change(asked))

    monkeypatch.setattr(attention.TreeAttention, "_attend", other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("llama", lambda asked: {**asked, "scaling": asked["scaling"] * 1.1}),
        ("gpt-2", lambda asked: {**asked, "scaling": (asked.get("scaling") or 8**-0.5) * 1.1}),
        ("gemma-2", lambda asked: {**asked, "softcap": None}),
        ("gpt-oss (sinks)", lambda asked: {**asked, "s_aux": None}),
    ],
    ids=["scale", "scale of gpt-2", "no soft-cap", "no sinks"],
)
def test_wrong_attention_is_seen(
    family: str, change: Callable[[Wrong], Wrong], dtype: torch.dtype, monkeypatch: Any
) -> None:
    """Whatever the dtype of the model itself."""
    model = copy.deepcopy(model_of(family)).to(dtype)
    wrong(monkeypatch, change)
    assert "a trial gave log-probabilities that are off by" in (disagreement(model, TREE) or "")


def test_a_window_that_is_not_kept_is_seen_however_wide_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """4096 tokens in the model, 7 in the trial."""
    model = make_model("mistral", seed=1, sliding_window=4096)
    assert disagreement(model, TREE) is None
    scored = attention.Asked.__init__

    def endless(self: Any, score: Score, window: int | None, sinks: Any) -> None:
        scored(self, score, None, sinks)

    monkeypatch.setattr(attention.Asked, "__init__", endless)
    assert "off by" in (disagreement(model, TREE) or "")


def test_a_hidden_mixture_of_tokens_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token shift, as RWKV has, that neither class nor configuration tells of."""
    from transformers.models.llama.modeling_llama import LlamaMLP

    forward = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: forward(self, x + x.roll(1, dims=1)))
    assert "off by" in (disagreement(make_model("llama", seed=1), TREE) or "")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_positions_that_a_model_counts_by_itself_are_seen(dtype: torch.dtype) -> None:
    """RoBERTa's decoder: refused in every dtype."""
    settings = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = small("RobertaForCausalLM", {**settings, "is_decoder": True}).to(dtype)
    assert disagreement(model, TREE)


def test_a_window_that_is_not_handed_to_the_attention_is_refused() -> None:
    model = make_model("mistral", seed=1).eval()
    model.config.layer_types = ["full_attention", "full_attention"]
    assert "sliding_window=7, its mask None" in (disagreement(model, TREE) or "")
    reader = Reader(model, CPU, Limits.of(model, CPU))
    with pytest.raises(NotATreeError, match="layer 0 has sliding_window=16, its mask None"):
        list(score(reader, [Plan({0: Request([5, 6], [7])}, 64)]))


def test_attention_that_asks_for_something_unknown_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong(monkeypatch, lambda asked: {**asked, "temperature_of_heads": 2.0, "block_table": None})
    found = disagreement(make_model("llama", seed=1), TREE) or ""
    assert "layer 0 asks for attention with temperature_of_heads" in found


def test_what_cannot_be_made_small_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("llama", seed=1)

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("no such shape")

    monkeypatch.setattr(type(model), "__init__", broken)
    text = r"no small copy can be made to try (ValueError: no such shape)"
    assert text in (disagreement(model, TREE) or "")


@pytest.mark.parametrize("name", ["gemma4_text", "gemma4_unified_text", "hrm_text"])
def test_layers_that_differ_or_are_run_in_cycles_have_a_small_copy(name: str) -> None:
    config = tiny_config(name)
    model = tiny_model(saved_class(config.model_type, config), config, seed=1).float().eval()
    assert chosen(model) == (TREE, "")


def test_what_differs_by_layer_counts_as_its_largest() -> None:
    config = transformers.Gemma4TextConfig()
    assert (largest(config, "head_dim"), largest(config, "hidden_size")) == (512, 2304)
    assert largest(transformers.LlamaConfig(), "moe_intermediate_size") is None
