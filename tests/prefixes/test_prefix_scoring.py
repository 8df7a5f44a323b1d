"""Log-likelihoods over a trie against one forward pass per request, for every family."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from families import FAMILIES, VOCABULARY, make_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_models import CPU, MORE, model_of
from trie_requests import alone, limited, requests

from pa_harness.prefixes.counts import Counts
from pa_harness.prefixes.limits import Limits
from pa_harness.prefixes.reading import Reader
from pa_harness.prefixes.scoring import Plan, Request, score


def scored(
    model: Any, found: list[Request], limits: Limits | None = None
) -> tuple[list[tuple[int, tuple[float, bool]]], Counts]:
    """All answers, in the order in which they come, and the counts."""
    reader = Reader(model, CPU, limits or Limits.of(model, CPU))
    plan = Plan(dict(enumerate(found)), reader.limits.tokens)
    return list(score(reader, [plan])), reader.counts


def check(model: Any, found: list[Request], limits: Limits) -> None:
    pairs, counts = scored(model, found, limits)
    answers = dict(pairs)
    assert sorted(index for index, _ in pairs) == list(range(len(found)))
    for index, request in enumerate(found):
        expected, greedy = alone(model, request)
        assert answers[index][0] == pytest.approx(expected, abs=1e-4)
        assert answers[index][1] == greedy
    assert counts.computed == counts.distinct


@pytest.mark.parametrize("name", [*FAMILIES, *MORE])
@given(found=requests(), tokens=st.sampled_from([5, 17, 200]), accelerator=st.booleans())
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_family_gives_what_it_gives_alone(
    name: str, found: list[Request], tokens: int, accelerator: bool
) -> None:
    """In passes of few shapes, as an accelerator gets them, or of any."""
    check(model_of(name), found, limited(tokens, few_shapes=accelerator, ahead=int(accelerator)))


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
    answers = dict(scored(model, found, limited(3))[0])
    assert [answers[index][1] for index in range(3)] == [True, False, True]
    check(model, found, limited(3))


@pytest.mark.parametrize("way", ["eager", "sdpa"])
def test_the_models_attention_function_is_put_back(way: str) -> None:
    model = make_model("llama", seed=1, attn_implementation=way).eval()
    found = [Request.cut([5, 6, 7], option, 64) for option in ([8], [9, 10], [9, 11])]
    check(model, found, limited(4))
    assert model.config._attn_implementation == way
    assert model(torch.tensor([[5, 6]]), use_cache=True).past_key_values.get_seq_length() == 2


def test_the_attention_function_is_put_back_after_an_error() -> None:
    model = make_model("llama", seed=1)
    with pytest.raises(IndexError):
        scored(model, [Request([5, VOCABULARY], [1])])
    assert model.config._attn_implementation == "sdpa"


def test_a_model_that_was_scored_can_be_forgotten() -> None:
    """Nothing that transformers or this package keeps holds on to it."""
    model = make_model("llama", seed=1)
    scored(model, [Request([5, 6], [7])])
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_models_keep_the_softmax_in_32(dtype: torch.dtype) -> None:
    model = make_model("llama", seed=1).to(dtype).eval()
    found = [Request.cut([5, 6, 7, 8], option, 64) for option in ([8], [9, 10], [9, 11])]
    answers = dict(scored(model, found)[0])
    for index, request in enumerate(found):
        assert answers[index][0] == pytest.approx(alone(model, request)[0], abs=0.05)
    logits = model(torch.tensor([[5, 6, 7, 8]])).logits[0, -1].detach()
    exact = float(logits.double().log_softmax(-1)[8])
    rounded = float(logits.log_softmax(-1)[8])
    assert abs(answers[0][0] - exact) < abs(rounded - exact)


SHORTAGES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("MPS backend out of memory (MPS allocated: 3 GB)."),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"
    ),
]


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda error: str(error)[:30])
def test_out_of_memory_halves_a_pass_and_the_next_one_is_whole(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, lengths, short = make_model("llama", seed=1).eval(), [], [True]
    forward = model.forward

    def memory(input_ids: torch.Tensor, **options: Any) -> Any:
        if input_ids.shape[1] > 12 and short:
            short.clear()
            raise error
        lengths.append(input_ids.shape[1])
        return forward(input_ids=input_ids, **options)

    common = list(range(10, 30))
    found = [Request.cut([*common, n, n], [n + 1, n + 2], 64) for n in range(40, 60)]
    monkeypatch.setattr(model, "forward", memory)
    pairs, counts = scored(model, found, limited(32))
    monkeypatch.undo()
    assert lengths[:3] == [16, 16, 30]  # the path with six documents, in halves; the next five
    assert "Out of memory: a pass of" in caplog.text
    assert counts.computed == sum(lengths) == counts.distinct
    for index, answer in pairs:
        assert answer[0] == pytest.approx(alone(model, found[index])[0], abs=1e-4)


def test_other_errors_are_not_taken_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("llama", seed=1)

    def broken(**_: Any) -> Any:
        raise RuntimeError("something else")

    monkeypatch.setattr(model, "forward", broken)
    with pytest.raises(RuntimeError, match="something else"):
        scored(model, [Request([5, 6], [7])])


def test_logits_are_made_a_few_rows_at_a_time_of_one_pass() -> None:
    """Never [tokens, vocabulary]; the layers below the head compute once."""
    model, shapes, below = make_model("llama", seed=1).eval(), [], []
    model.lm_head.register_forward_hook(lambda *at: shapes.append(tuple(at[2].shape)))
    model.model.norm.register_forward_hook(lambda *at: below.append(at[2].shape[1]))
    found = [Request.cut([5, 6, 7], [9, *range(20 + n, 35 + n)], 64) for n in range(5)]
    pairs, counts = scored(model, found, limited(500, logits=(4 + 8) * 6 * VOCABULARY))
    answers = dict(pairs)
    assert max(shape[1] for shape in shapes) == 6
    wanted = len({tuple([*r.tokens][: 3 + n]) for r in found for n in range(16)})
    assert sum(shape[1] for shape in shapes) == wanted
    assert below == [counts.computed]
    for index, request in enumerate(found):
        assert answers[index][0] == pytest.approx(alone(model, request)[0], abs=1e-4)


def test_the_counts_are_those_of_an_example_worked_by_hand() -> None:
    """Prompt 1 2 3; options 4 5 6, 4 7, 8: HFLM feeds 1 2 3 4 5, 1 2 3 4 and 1 2 3."""
    found = [Request.cut([1, 2, 3], option, 64) for option in ([4, 5, 6], [4, 7], [8], [9])]
    _, counts = scored(model_of("llama"), found)
    assert counts.distinct == counts.computed == 5
    assert counts.stock == 12  # the two one-token options are one request of HFLM's
    assert counts.passes == 1
    assert counts.needed == 1 + 2 + 3 + 4 + 5


def test_plans_follow_each_other_without_computing_their_path_again() -> None:
    """Three parts behind 40 tokens in common; the last one asks what follows a part of them."""
    model, common = model_of("llama"), list(range(10, 50))
    parts = [
        {n: Request.cut([*common, n], [n + 1, 7], 200) for n in range(60, 64)},
        {n: Request.cut([*common, n], [n + 1], 200) for n in range(64, 70)},
        {n: Request.cut(common[:-1], [common[-1], n], 200) for n in range(70, 72)},
    ]
    reader, plans = Reader(model, CPU, limited(100)), []
    for part in parts:
        plans.append(Plan(part, 100, *plans[-1:]))
    answers = dict(score(reader, plans))
    for number, request in (pair for part in parts for pair in part.items()):
        assert answers[number][0] == pytest.approx(alone(model, request)[0], abs=1e-4)
    assert reader.counts.computed == 40 + 4 * 2 + 6 + 2  # the last two are read again
    assert dict(score(reader, plans)) == answers
