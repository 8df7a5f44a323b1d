"""What goes through a model at a time, and that it takes no more memory than it says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from families import FAMILIES, make_model
from live_bytes import LiveBytes
from small_models import CPU, MORE, model_of

from pa_harness.prefixes.decoding.generation import Asked, continuations
from pa_harness.prefixes.limits import Limits, bytes_per_token
from pa_harness.prefixes.reading import Reader
from pa_harness.prefixes.scoring import Plan, Request, score

GB = 1_000_000_000


@pytest.mark.parametrize(("memory", "expected"), [(80 * GB, 8192), (64_000_000, None), (1000, 1)])
def test_passes_fit_into_an_accelerator_whatever_is_free(
    memory: int, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An eighth of what the weights leave of all its memory."""
    device = torch.device("cuda")
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=memory)
    )
    model = make_model("llama", seed=1)
    found = Limits.of(model, device)
    assert found.tokens == (expected or memory // 8 // bytes_per_token(model))
    assert found.few_shapes
    assert Limits.of(model, CPU).tokens == 1024


@pytest.mark.parametrize("tokens", [1, 63, 64, 65, 500, 3000, 7000, 8191, 8192])
def test_few_shapes_are_a_little_larger(tokens: int) -> None:
    limits = Limits(8192, 4, 0, few_shapes=True)
    assert tokens <= limits.shape(tokens) <= max(128, tokens * 1.25)
    assert len({limits.shape(each) for each in range(4096, 8193)}) <= 9
    assert Limits(8192, 4, 0).shape(tokens) == tokens


def sequences() -> list[Request]:
    """Fifty tokens in common, documents of 30 tokens, options of three."""
    common = list(range(5, 55))
    return [
        Request.cut([*common, *range(60 + n, 90 + n)], [9 + option, n + 7, 8], 400)
        for n in range(40)
        for option in range(4)
    ]


@pytest.mark.parametrize("name", [*FAMILIES, *MORE])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_pass_takes_no_more_than_it_says(name: str, dtype: torch.dtype) -> None:
    model: Any = model_of(name)
    if dtype != torch.float32:
        import copy

        model = copy.deepcopy(model).to(dtype)
    limits = Limits(512, 8, 1 << 24, logits=1 << 20, few_shapes=True)
    reader = Reader(model, CPU, limits)
    plan = Plan(dict(enumerate(sequences())), limits.tokens)
    slots = plan.capacity * reader.slot_bytes
    with LiveBytes() as live:
        list(score(reader, [plan]))
    assert slots < live.most <= slots + limits.pass_bytes(model)


def test_long_prompts_decode_within_the_memory_that_is_given() -> None:
    """32 prompts of 300 tokens with 8 new ones, in the memory of about six of them."""
    model = model_of("llama")
    prompts = [[3 + n, *[5 + (n * 7 + k) % 300 for k in range(299)]] for n in range(32)]
    slot = Reader(model, CPU, Limits.of(model, CPU)).slot_bytes
    limits = Limits(128, 64, kept=6 * 320 * slot + (300 + 128) * slot, logits=1 << 20)
    reader = Reader(model, CPU, limits)
    assert reader.slot_bytes == slot
    with LiveBytes() as live:
        found = dict(continuations(reader, Asked(prompts, 8, frozenset(), lambda _: False)))
    assert len(found) == 32
    assert live.most <= limits.kept + limits.pass_bytes(model)
    for index in (0, 31):
        ids = torch.tensor([[*prompts[index], *found[index][:-1]]])
        assert model(ids).logits[0, -8:].argmax(-1).tolist() == found[index]
