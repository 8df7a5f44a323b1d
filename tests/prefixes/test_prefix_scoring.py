"""Log-likelihoods over a trie against one forward pass per request, for every family."""

from __future__ import annotations

import gc
import weakref
from itertools import chain
from typing import Any

import pytest
import torch
from families import FAMILIES, VOCABULARY, make_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_models import CPU, MORE, model_of, tokens

from pa_harness.prefixes.scoring import PrefixScorer, Request


@torch.no_grad()
def alone(model: Any, request: Request) -> tuple[float, bool]:
    """One request, one forward pass of the model as it comes."""
    table = model(torch.tensor([list(request.tokens)])).logits[0].double().log_softmax(-1)
    rows = table[len(request.tokens) - len(request.targets) :]
    total = sum(float(row[target]) for row, target in zip(rows, request.targets, strict=True))
    return total, rows.argmax(-1).tolist() == list(request.targets)


@st.composite
def requests(draw: st.DrawFn) -> list[Request]:
    """Tasks with shots, documents with options; at random the shots differ or prompts are cut."""
    length = draw(st.sampled_from([12, 30, 64]))
    found = []
    for _ in range(draw(st.integers(1, 2))):
        shots = draw(st.lists(tokens(1, 14), min_size=1, max_size=3))
        for _ in range(draw(st.integers(1, 3))):
            order = draw(st.permutations(shots)) if draw(st.booleans()) else shots
            context = list(chain(*order)) + draw(tokens(0, 8))
            for option in draw(st.lists(tokens(1, 5), min_size=1, max_size=4)):
                found.append(Request.cut(context, option, length))
    return draw(st.permutations(found))


def check(model: Any, found: list[Request], budget: int) -> None:
    scorer = PrefixScorer(model, CPU, budget=budget)
    pairs = list(scorer.score(found))
    answers = dict(pairs)
    assert sorted(index for index, _ in pairs) == list(range(len(found)))
    for index, request in enumerate(found):
        expected, greedy = alone(model, request)
        assert answers[index][0] == pytest.approx(expected, abs=1e-4)
        assert answers[index][1] == greedy
    assert scorer.counts.computed == scorer.counts.distinct


@pytest.mark.parametrize("name", [*FAMILIES, *MORE])
@given(found=requests(), budget=st.sampled_from([5, 17, 200]))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_family_gives_what_it_gives_alone(
    name: str, found: list[Request], budget: int
) -> None:
    check(model_of(name), found, budget)


@pytest.mark.parametrize("name", ["llama", "gemma-2"])
def test_the_greedy_continuation_is_recognised(name: str) -> None:
    """And one that leaves it at the last of its tokens is not."""
    model, context = model_of(name), [5, 6, 7, 8]
    for _ in range(4):
        context = [*context, int(model(torch.tensor([context])).logits[0, -1].argmax())]
    other = 3 if context[-1] != 3 else 4
    found = [
        Request.cut(context[:4], context[4:], 64),
        Request.cut(context[:4], [*context[4:-1], other], 64),
        Request.cut(context[:6], context[6:], 64),
    ]
    answers = dict(PrefixScorer(model, CPU, budget=3).score(found))
    assert [answers[index][1] for index in range(3)] == [True, False, True]
    check(model, found, budget=3)


@pytest.mark.parametrize("way", ["eager", "sdpa"])
def test_the_attention_function_is_the_models_own_and_is_put_back(way: str) -> None:
    model = make_model("llama", seed=1, attn_implementation=way).eval()
    found = [Request.cut([5, 6, 7], option, 64) for option in ([8], [9, 10], [9, 11])]
    check(model, found, budget=4)
    assert model.config._attn_implementation == way
    assert model(torch.tensor([[5, 6]]), use_cache=True).past_key_values.get_seq_length() == 2


def test_the_attention_function_is_put_back_after_an_error() -> None:
    model = make_model("llama", seed=1)
    with pytest.raises(IndexError):
        list(PrefixScorer(model, CPU).score([Request([5, VOCABULARY], [1])]))
    assert model.config._attn_implementation == "sdpa"


def test_a_model_that_was_scored_can_be_forgotten() -> None:
    """Nothing that transformers or this package keeps holds on to it."""
    model = make_model("llama", seed=1)
    list(PrefixScorer(model, CPU).score([Request([5, 6], [7])]))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_models_keep_the_softmax_in_32(dtype: torch.dtype) -> None:
    model = make_model("llama", seed=1).to(dtype).eval()
    found = [Request.cut([5, 6, 7, 8], option, 64) for option in ([8], [9, 10], [9, 11])]
    answers = dict(PrefixScorer(model, CPU).score(found))
    for index, request in enumerate(found):
        assert answers[index][0] == pytest.approx(alone(model, request)[0], abs=0.05)
    logits = model(torch.tensor([[5, 6, 7, 8]])).logits[0, -1].detach()
    exact = float(logits.double().log_softmax(-1)[8])
    rounded = float(logits.log_softmax(-1)[8])
    assert abs(answers[0][0] - exact) < abs(rounded - exact)


@pytest.mark.parametrize("error", ["device", "cpu"])
def test_out_of_memory_halves_the_pass_and_loses_no_work(
    error: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, lengths = make_model("llama", seed=1).eval(), []
    forward = model.forward

    def limited(input_ids: torch.Tensor, **options: Any) -> Any:
        if input_ids.shape[1] > 12:
            if error == "device":
                raise torch.OutOfMemoryError("CUDA out of memory.")
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9")
        lengths.append(input_ids.shape[1])
        return forward(input_ids=input_ids, **options)

    common = list(range(10, 30))
    found = [Request.cut([*common, n, n], [n + 1, n + 2], 64) for n in range(40, 60)]
    monkeypatch.setattr(model, "forward", limited)
    scorer = PrefixScorer(model, CPU, budget=64)
    answers = dict(scorer.score(found))
    monkeypatch.undo()
    assert scorer.budget == 7  # of 62
    assert "Out of memory; 7 tokens per pass from now on." in caplog.text
    assert scorer.counts.computed == sum(lengths) == scorer.counts.distinct
    for index, request in enumerate(found):
        assert answers[index][0] == pytest.approx(alone(model, request)[0], abs=1e-4)


@pytest.mark.parametrize(
    ("way", "free", "expected"),
    [
        ("sdpa", 80_000_000_000, 8192),
        ("sdpa", 80_000_000, 80_000_000 // 8 // (64 * 32 * 4)),
        ("eager", 80_000_000, 80_000_000 // 8 // (64 * 32 * 4 + 4 * 4 * 8192)),
        ("sdpa", 1000, 1),
    ],
)
def test_passes_fit_into_the_memory_of_an_accelerator(
    way: str, free: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One eighth of what is free; 64 vectors of 32 fp32 numbers a token; 4 heads."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, free))
    model = make_model("llama", seed=1, attn_implementation=way)
    assert PrefixScorer(model, torch.device("cuda")).budget == expected
    assert PrefixScorer(model, CPU).budget == 512


def test_other_errors_are_not_taken_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("llama", seed=1)

    def broken(**_: Any) -> Any:
        raise RuntimeError("something else")

    monkeypatch.setattr(model, "forward", broken)
    with pytest.raises(RuntimeError, match="something else"):
        list(PrefixScorer(model, CPU).score([Request([5, 6], [7])]))


def test_logits_are_made_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never [tokens, vocabulary], and no more than the limit where many are wanted."""
    model, shapes = make_model("llama", seed=1).eval(), []
    model.lm_head.register_forward_hook(lambda *at: shapes.append(tuple(at[2].shape)))
    monkeypatch.setattr("pa_harness.prefixes.scoring._LOGITS", 4 * 6 * VOCABULARY)
    check_against = [Request.cut([5, 6, 7], [9, *range(20 + n, 35 + n)], 64) for n in range(5)]
    scorer = PrefixScorer(model, CPU)
    answers = dict(scorer.score(check_against))
    assert max(shape[1] for shape in shapes) == 6
    wanted = len({tuple([*r.tokens][: 3 + n]) for r in check_against for n in range(16)})
    assert sum(shape[1] for shape in shapes) == wanted
    for index, request in enumerate(check_against):
        assert answers[index][0] == pytest.approx(alone(model, request)[0], abs=1e-4)


def test_the_counts_are_those_of_an_example_worked_by_hand() -> None:
    """Prompt 1 2 3; options 4 5 6, 4 7, 8: HFLM feeds 1 2 3 4 5, 1 2 3 4 and 1 2 3."""
    found = [Request.cut([1, 2, 3], option, 64) for option in ([4, 5, 6], [4, 7], [8], [9])]
    scorer = PrefixScorer(model_of("llama"), CPU)
    list(scorer.score(found))
    assert scorer.counts.distinct == scorer.counts.computed == 5
    assert scorer.counts.stock == 12  # the two one-token options are one request of HFLM's
    assert scorer.counts.passes == 1
