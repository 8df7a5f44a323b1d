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
from small_models import CPU, MORE, model_of
from through_lm_eval import stock
from trie_requests import continued_alone, prompts

from pa_harness.prefixes.attention.tree import TreeAttention
from pa_harness.prefixes.counts import Counts
from pa_harness.prefixes.decoding.families import families
from pa_harness.prefixes.decoding.generation import Asked, continuations
from pa_harness.prefixes.decoding.rows import Rows
from pa_harness.prefixes.limits import Limits
from pa_harness.prefixes.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
SHOTS = "Question: which colour?\nAnswer: blue\n\nQuestion: is it good?\nAnswer: no\n\n"
CONTEXTS = [
    *(f"{SHOTS}Question: {what}?\nAnswer:" for what in ("the film", "the dog", "a fox, quick")),
    *("Is", "The quick brown", f"{SHOTS}Question: the film?\nAnswer:", SHOTS),
]


def continued(
    model: Any, given_prompts: list[list[int]], limits: Limits, **asked: Any
) -> tuple[dict[int, list[int]], Counts]:
    """All continuations, and the counts."""
    reader = Reader(model, CPU, limits)
    asked = {"limit": 12, "ends": frozenset(), "done": lambda _: False, **asked}
    found = list(continuations(reader, Asked(given_prompts, **asked)))
    assert sorted(index for index, _ in found) == list(range(len(given_prompts)))
    return dict(found), reader.counts


@pytest.mark.parametrize("name", [*FAMILIES, *MORE])
@given(
    given_prompts=prompts(),
    rows=st.integers(1, 4),
    limit=st.integers(1, 12),
    ends=st.frozensets(st.integers(0, VOCABULARY - 1), max_size=150),
    ahead=st.integers(0, 2),
)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_family_continues_as_it_does_alone(
    name: str,
    given_prompts: list[list[int]],
    rows: int,
    limit: int,
    ends: frozenset[int],
    ahead: int,
) -> None:
    """Windows of 16 tokens, ends for about half of the vocabulary, passes of 9 tokens."""
    model = model_of(name)
    limits = Limits(9, rows, kept=1 << 24, few_shapes=bool(ahead), ahead=ahead)
    found, counts = continued(model, given_prompts, limits, limit=limit, ends=ends)
    for index, prompt in enumerate(given_prompts):
        assert found[index] == continued_alone(model, prompt, limit, ends)
    decoded = sum(len(text) - 1 for text in found.values())  # the first comes with the prompt
    assert decoded <= counts.decoded <= decoded + ahead * len(given_prompts)


@pytest.mark.parametrize("name", ["llama", "gemma-3", "gpt-oss (sinks)", "mistral"])
@pytest.mark.parametrize("few_shapes", [True, False])
def test_rows_of_several_pages_that_end_at_several_times(
    name: str, few_shapes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of 4 slots, 3 rows, 9 prompts: pages are freed, used again, moved together."""
    for place in ("rows", "row_attention", "generation"):
        monkeypatch.setattr(f"pa_harness.prefixes.decoding.{place}.PAGE", 4)
    model = model_of(name)
    given_prompts = [[3, 4, *range(9 * n + 7, 9 * n + 8 + 3 * n)] for n in range(9)]
    whole = [continued_alone(model, prompt, 30, frozenset()) for prompt in given_prompts]
    lengths = {tuple(text[:1]): 3 + 5 * (n % 6) for n, text in enumerate(whole)}
    moved: list[int] = []
    move = TreeAttention.move
    monkeypatch.setattr(
        TreeAttention, "move", lambda self, *at: (moved.append(len(at[0])), move(self, *at))
    )
    limits = Limits(20, 3, kept=1 << 24, few_shapes=few_shapes, ahead=int(few_shapes))
    found, counts = continued(
        model, given_prompts, limits, limit=30, done=lambda t: len(t) >= lengths[tuple(t[:1])]
    )
    for index, text in enumerate(whole):
        assert found[index] == text[: lengths[tuple(text[:1])]]
    assert counts.attended < 2.2 * counts.needed


def test_a_shared_beginning_is_computed_once() -> None:
    """100 tokens in common, 2 of each prompt: 40 rows in groups of 8."""
    common = [3 + n for n in range(100)]
    given_prompts = [[*common, 150 + n, 160] for n in range(40)]
    limits = Limits(512, 8, kept=1 << 24)
    _, counts = continued(model_of("llama"), given_prompts, limits, limit=3)
    assert counts.computed == counts.distinct == 100 + 2 * 40
    assert counts.stock == 102 * 40
    assert counts.passes == 5 + 5 * 2  # the first token comes with the prompt


def test_prompts_with_several_beginnings_decode_in_families() -> None:
    """Two sets of shots of 60 tokens, enough prompts of each to fill the rows."""
    shots = [[3, *range(10, 70)], [3, *range(80, 140)]]
    given_prompts = [[*shots[n % 2], 150 + n, 160] for n in range(16)] + [[3, 200, 201]]
    found, distinct = families(given_prompts, rows=4)
    assert {(each.path, len(each.prompts)) for each in found} == {(61, 8), (2, 1)}
    assert distinct == 1 + 2 * 60 + 2 * 16 + 2
    model = model_of("llama")
    texts, counts = continued(model, given_prompts, Limits(512, 4, kept=1 << 24), limit=4)
    for index, prompt in enumerate(given_prompts):
        assert texts[index] == continued_alone(model, prompt, 4, frozenset())
    assert counts.computed == distinct


def test_a_finished_row_makes_room_for_the_next_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """4 rows: as the prompts end after 2, 3, 4 and 5 tokens, a fifth begins in the first's."""
    model = make_model("llama", seed=1).eval()
    widths, forward = [], model.forward

    def seen(input_ids: torch.Tensor, **options: Any) -> Any:
        widths.append(input_ids.shape[1])
        return forward(input_ids=input_ids, **options)

    first = {continued_alone(model, [3, n], 1, frozenset())[0]: n for n in range(5, 60)}
    given_prompts = [[3, n] for n in sorted(list(first.values())[:5])]
    firsts = [continued_alone(model, prompt, 1, frozenset())[0] for prompt in given_prompts]
    limits = {token: 2 + n for n, token in enumerate(firsts)}
    reader = Reader(model, CPU, Limits(64, 4, kept=1 << 24))
    assert reader.slot_bytes == 2 * 2 * 2 * 8 * 4
    monkeypatch.setattr(model, "forward", seen)
    asked = Asked(given_prompts, 9, frozenset(), lambda t: len(t) >= limits[t[0]])
    list(continuations(reader, asked))
    assert widths == [5, 4, 1, 4, 3, 2, 1, 1]


def test_rows_are_as_many_as_memory_allows() -> None:
    """A slot of this model is 256 bytes; each of 12 prompts may fill 128 of them, two pages."""
    model, kept = model_of("llama"), 256 * (64 + 70 + 128 * 3)
    given_prompts = [[3, *range(20 * n + 7, 20 * n + 76)] for n in range(12)]
    widest, called = [0], Rows.take

    def taken(self: Rows, *given: Any) -> Any:
        found = called(self, *given)
        widest[0] = max(widest[0], self.alive)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rows, "take", taken)
        found, _ = continued(model, given_prompts, Limits(64, 64, kept=kept), limit=40)
    assert widest == [3]
    for index, prompt in enumerate(given_prompts):
        assert found[index] == continued_alone(model, prompt, 40, frozenset())


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
