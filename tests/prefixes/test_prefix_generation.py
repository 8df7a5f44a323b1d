"""Greedy continuations against one forward pass per token, and against hf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from families import FAMILIES, VOCABULARY, make_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from shared_prompts import Hook, adapted, sharing
from small_models import CPU, MORE, model_of, tokens
from through_lm_eval import stock

from pa_harness.prefixes.generation import PrefixGenerator
from pa_harness.prefixes.scoring import PrefixScorer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
SHOTS = "Question: which colour?\nAnswer: blue\n\nQuestion: is it good?\nAnswer: no\n\n"
CONTEXTS = [
    *(f"{SHOTS}Question: {what}?\nAnswer:" for what in ("the film", "the dog", "a fox, quick")),
    *("Is", "The quick brown", f"{SHOTS}Question: the film?\nAnswer:", SHOTS),
]


@torch.no_grad()
def alone(model: Any, prompt: list[int], limit: int, ends: frozenset[int]) -> list[int]:
    """One prompt, one whole forward pass per token."""
    found: list[int] = []
    while len(found) < limit and not (found and found[-1] in ends):
        found.append(int(model(torch.tensor([prompt + found])).logits[0, -1].argmax()))
    return found


@st.composite
def prompts(draw: st.DrawFn) -> list[list[int]]:
    """Few-shot prompts: some begin alike, some are equal, some are the beginning of others."""
    shots = [[], *draw(st.lists(tokens(1, 20), min_size=1, max_size=2))]
    parts = st.tuples(st.sampled_from(shots), tokens(1, 4) | st.just([5]))
    found = draw(st.lists(parts, min_size=1, max_size=7))
    return [[3, *shot, *rest] for shot, rest in found]


@pytest.mark.parametrize("name", [*FAMILIES, *MORE])
@given(
    given_prompts=prompts(),
    rows=st.integers(1, 4),
    limit=st.integers(1, 12),
    ends=st.frozensets(st.integers(0, VOCABULARY - 1), max_size=150),
)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_family_continues_as_it_does_alone(
    name: str, given_prompts: list[list[int]], rows: int, limit: int, ends: frozenset[int]
) -> None:
    """Windows of 16 tokens, ends for about half of the vocabulary, passes of 9 tokens."""
    model = model_of(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pa_harness.prefixes.generation._ROOM", 2)  # tidies up often
        generator = PrefixGenerator(PrefixScorer(model, CPU, budget=9), ends, rows)
        pairs = list(generator.continuations(given_prompts, limit, lambda _: False))
    assert sorted(index for index, _ in pairs) == list(range(len(given_prompts)))
    for index, found in pairs:
        assert found == alone(model, given_prompts[index], limit, ends)
    decoded = sum(len(found) - 1 for _, found in pairs)  # the first token comes with the prompt
    assert generator.scorer.counts.decoded == decoded


def test_a_shared_beginning_is_computed_once() -> None:
    """100 tokens in common, 2 of each prompt: 40 rows in groups of 8."""
    common = [3 + n for n in range(100)]
    given_prompts = [[*common, 150 + n, 160] for n in range(40)]
    scorer = PrefixScorer(model_of("llama"), CPU)
    generator = PrefixGenerator(scorer, frozenset(), 8)
    list(generator.continuations(given_prompts, 3, lambda _: False))
    assert scorer.counts.computed == scorer.counts.distinct == 100 + 2 * 40
    assert scorer.counts.stock == 102 * 40
    assert scorer.counts.passes == 5 + 5 * 2  # the first token comes with the prompt


def test_a_finished_row_leaves_and_its_slots_are_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model("llama", seed=1).eval()
    widths, forward = [], model.forward

    def seen(input_ids: torch.Tensor, **options: Any) -> Any:
        widths.append(input_ids.shape[1])
        return forward(input_ids=input_ids, **options)

    monkeypatch.setattr(model, "forward", seen)
    generator = PrefixGenerator(PrefixScorer(model, CPU), frozenset(), 4)
    first = {alone(model, [3, n], 1, frozenset())[0]: n for n in range(5, 30)}
    given_prompts = [[3, n] for n in list(first.values())[:4]]
    limits = {token: 2 + n for n, token in enumerate(list(first)[:4])}
    widths.clear()
    list(generator.continuations(given_prompts, 9, lambda t: len(t) >= limits[t[0]]))
    assert widths == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("name", ["mistral", "gemma-3", "gpt-oss (sinks)"])
def test_tidied_slots_keep_their_positions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 16 tokens; rows of several lengths leave at several times."""
    monkeypatch.setattr("pa_harness.prefixes.generation._ROOM", 2)
    model = model_of(name)
    given_prompts = [
        [3, *range(50 * n + 7, 50 * n + 7 + size)] for n, size in enumerate((2, 9, 25, 14))
    ]
    lengths = {2: 3, 9: 7, 25: 30, 14: 24}
    whole = [alone(model, prompt, 30, frozenset()) for prompt in given_prompts]
    until = {
        tuple(text[:n]): lengths[len(prompt) - 1]
        for text, prompt in zip(whole, given_prompts, strict=True)
        for n in range(1, 31)
    }
    generator = PrefixGenerator(PrefixScorer(model, CPU), frozenset(), 4)
    found = generator.continuations(given_prompts, 30, lambda t: len(t) >= until.get(tuple(t), 0))
    for index, text in found:
        assert text == whole[index][: lengths[len(given_prompts[index]) - 1]]


def texts(lm: Any, contexts: list[str], **options: Any) -> list[str]:
    requests = [Instance("generate_until", {}, (text, options), 0) for text in contexts]
    found: list[str] = lm.generate_until(requests, disable_tqdm=True)
    return found


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma-2", "gemma-3", "mixtral", "gpt-2"])
@pytest.mark.parametrize(
    "options",
    [
        {"until": ["e", "<turn>"], "max_gen_toks": 20},
        {"until": "qu", "max_gen_toks": 40, "do_sample": False, "temperature": 0.0},
        {"max_gen_toks": 5},
    ],
    ids=str,
)
def test_the_texts_are_hfs(
    family: str, options: dict[str, Any], pair_of: Callable[..., Pair]
) -> None:
    folder = pair_of(family)[0]
    lm, reference = sharing(folder), stock(folder, batch_size=1)
    assert texts(lm, CONTEXTS, **options) == texts(reference, CONTEXTS, **options)
    info = lm.sharing_info()["prefix_sharing"]["generate_until"]
    assert info["computed"] == info["distinct"] < info["stock"]


def test_long_prompts_are_cut_as_hf_cuts_them(pair: Pair) -> None:
    options = {"until": ["@@"], "max_gen_toks": 10}
    lm, reference = sharing(pair[0], max_length=30), stock(pair[0], max_length=30, batch_size=1)
    assert texts(lm, CONTEXTS, **options) == texts(reference, CONTEXTS, **options)


def test_several_lengths_and_stop_sequences_in_one_call(pair: Pair) -> None:
    every = [{"until": ["e"], "max_gen_toks": 6}, {"until": ["o"], "max_gen_toks": 9}]
    requests = [
        Instance("generate_until", {}, (text, every[number % 2]), number)
        for number, text in enumerate(CONTEXTS)
    ]
    lm, reference = sharing(pair[0]), stock(pair[0], batch_size=1)
    lm.cache_hook = hook = Hook()
    found = lm.generate_until(requests, disable_tqdm=True)
    assert found == reference.generate_until(requests, disable_tqdm=True)
    kept = sorted(hook.kept, key=str)
    assert kept == sorted(
        (("generate_until", r.args, text) for r, text in zip(requests, found, strict=True)), key=str
    )


def test_the_ends_of_both_checkpoints_end_a_text(pair: Pair) -> None:
    """λ = 0 in the pair: generation stops at the instruct model's end of turn, too."""
    options = {"until": ["@@"], "max_gen_toks": 12}
    ours, theirs = adapted(pair, lam=0), adapted(pair, lam=0, prefix_sharing=False)
    ends = [int(t) for t in range(3, VOCABULARY, 2)]
    for lm in (ours, theirs):
        lm.model.generation_config.eos_token_id = ends
        lm.batch_size_per_gpu = 1
    assert texts(ours, CONTEXTS, **options) == texts(theirs, CONTEXTS, **options)
    assert ours.sharing_info()["prefix_sharing"]["generate_until"]["computed"]


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": True, "temperature": 0.8},
        {"num_beams": 2},
        {"max_length": 150},
        {"repetition_penalty": 1.3},
    ],
    ids=str,
)
def test_all_but_plain_greedy_decoding_is_left_to_hf(options: dict[str, Any], pair: Pair) -> None:
    """Beside greedy requests in the same call, whose texts go to their places."""
    both = [{"until": ["@@"], "max_gen_toks": 6, **extra} for extra in ({}, options)]
    requests = [
        Instance("generate_until", {}, (text, both[number % 2]), number)
        for number, text in enumerate(CONTEXTS)
    ]
    lm, reference = sharing(pair[0]), stock(pair[0], batch_size=3)
    torch.manual_seed(0)
    found = lm.generate_until(requests, disable_tqdm=True)
    torch.manual_seed(0)
    rest = reference.generate_until(requests[1::2], disable_tqdm=True)
    assert found[1::2] == rest
    assert found[::2] == texts(reference, CONTEXTS[::2], **both[0])
    assert lm.sharing_info()["prefix_sharing"]["generate_until"]["stock"] == sum(
        len(lm.tok_encode(text)) for text in CONTEXTS[::2]
    )


def test_a_checkpoint_that_penalises_repetition_is_left_to_hf(pair: Pair) -> None:
    """hf heeds the generation configuration of a checkpoint, also when decoding is greedy."""
    lm, reference = sharing(pair[1]), stock(pair[1], batch_size=3)
    options = {"until": ["@@"], "max_gen_toks": 6}
    assert texts(lm, CONTEXTS, **options) == texts(reference, CONTEXTS, **options)
    assert lm.sharing_info() == {}


def test_without_sharing_it_is_hfs_way(pair: Pair) -> None:
    options = {"until": ["@@"], "max_gen_toks": 6}
    lm = adapted(pair, prefix_sharing=False)
    assert texts(lm, CONTEXTS, **options) == texts(adapted(pair), CONTEXTS, **options)
    assert lm.sharing_info() == {}
