"""Shared prefixes inside lm-eval: HFLM's answers, in its order, with its side effects."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from families import make_model, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from shared_prompts import REQUESTS, SHOTS, Hook, adapted, answers, assert_same, instances, sharing
from through_lm_eval import stock
from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel

from pa_harness.errors import PAHarnessError
from pa_harness.models.prefix_sharing import PrefixSharingLM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
TEXT = st.text(alphabet="ab q.\n", max_size=6)


def counts(lm: Any) -> dict[str, int]:
    found: dict[str, int] = lm.sharing_info()["prefix_sharing"]["loglikelihood"]
    return found


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma-2", "gemma-3", "mixtral", "gpt-2"])
@pytest.mark.parametrize("length", [None, 20])
def test_the_answers_are_hfs(
    family: str, length: int | None, pair_of: Callable[..., Pair], caplog: pytest.LogCaptureFixture
) -> None:
    """Spaces between context and continuation, empty contexts, repetitions; whole and cut."""
    folder = pair_of(family)[0]
    lm = sharing(folder, max_length=length)
    assert_same(answers(lm, REQUESTS), answers(stock(folder, max_length=length), REQUESTS))
    assert ("5 of 8 requests are longer" in caplog.text) == (length == 20)
    assert counts(lm)["computed"] == counts(lm)["distinct"]


@given(
    texts=st.lists(st.tuples(TEXT, TEXT.filter(bool)), min_size=1, max_size=8),
    length=st.integers(16, 48),  # no continuation is longer: hf refuses those
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_texts_behind_common_shots(
    texts: list[tuple[str, str]], length: int, pair: Pair
) -> None:
    """Against hf without its own cache, which mixes up splits of one text at different places."""
    requests = [(SHOTS + context if context else "", rest) for context, rest in texts]
    lm, reference = (
        cls(pretrained=str(pair[0]), device="cpu", batch_size=3, max_length=length, **options)
        for cls, options in ((PrefixSharingLM, {}), (get_model("hf"), {"logits_cache": False}))
    )
    assert_same(answers(lm, requests), answers(reference, requests))


def test_partially_adapted_shares_by_default_and_says_what_it_saved(pair: Pair) -> None:
    lm, whole = adapted(pair), adapted(pair, prefix_sharing=False)
    ours, theirs = answers(lm, REQUESTS), answers(whole, REQUESTS)
    assert_same(ours, theirs)
    info = lm.get_model_info()["prefix_sharing"]
    memory, info = info["peak_memory_bytes"], info["loglikelihood"]
    tokens = [
        tuple((context + rest)[:-1])
        for context, rest in (lm._encode_pair(*text) for text in REQUESTS if text[0])
    ]
    tokens += [tuple(lm.tok_encode("<s>" + text[1])[:-1]) for text in REQUESTS[4:5]]
    tokens += [tuple(lm.tok_encode(REQUESTS[5][1])[:-1])]
    assert info["distinct"] == len({t[:n] for t in tokens for n in range(1, len(t) + 1)})
    assert info["computed"] == info["distinct"]
    assert info["stock"] == sum(map(len, set(tokens)))
    assert info["passes"] == 1
    assert memory > 1_000_000
    assert "prefix_sharing" not in whole.get_model_info()


def test_without_sharing_it_is_hf_bit_for_bit(pair: Pair) -> None:
    lm = adapted(pair, lam=0, prefix_sharing=False)
    assert answers(lm, REQUESTS) == answers(stock(pair[0], batch_size=3), REQUESTS)


def test_changing_lam_changes_the_answers_and_the_counts_are_of_one_evaluation(pair: Pair) -> None:
    lm = adapted(pair, lam=0)
    first, before = answers(lm, REQUESTS), counts(lm)
    lm.set_lam(1)
    second = answers(lm, REQUESTS)
    assert max(abs(a - b) for (a, _), (b, _) in zip(first, second, strict=True)) > 0.01
    assert counts(lm) == before
    lm.set_lam(0)
    assert answers(lm, REQUESTS) == first


def test_prefix_sharing_that_is_switched_off_later_is_heeded(pair: Pair) -> None:
    lm = adapted(pair)
    answers(lm, REQUESTS)
    lm.prefix_sharing = False
    expected = answers(adapted(pair, prefix_sharing=False), REQUESTS)
    assert answers(lm, REQUESTS) == expected
    assert lm.sharing_info() == {}


def test_weights_without_lam_are_not_used(pair: Pair) -> None:
    """Neither for new requests nor for those of before, nor for texts."""
    lm = adapted(pair)
    answers(lm, REQUESTS)
    lm._weights.lam = None
    for requests in (REQUESTS, REQUESTS[:2]):
        with pytest.raises(PAHarnessError, match=r"the weights have no λ\. Call set_lam again"):
            answers(lm, requests)
    generation = Instance("generate_until", {}, ("Is", {"until": ["e"], "max_gen_toks": 3}), 0)
    with pytest.raises(PAHarnessError, match=r"the weights have no λ\. Call set_lam again"):
        lm.generate_until([generation], disable_tqdm=True)


def test_every_answer_is_handed_to_the_cache(pair: Pair) -> None:
    lm, hook = sharing(pair[0]), Hook()
    lm.cache_hook = hook
    found = answers(lm, REQUESTS)
    expected = [
        ("loglikelihood", text, answer) for text, answer in zip(REQUESTS, found, strict=True)
    ]
    assert sorted(hook.kept) == sorted(expected)


def test_the_progress_bar_counts_requests(pair: Pair, capfd: pytest.CaptureFixture[str]) -> None:
    sharing(pair[0]).loglikelihood(instances(REQUESTS))
    assert "Running loglikelihood requests: 100%" in (shown := capfd.readouterr().err)
    assert "8/8" in shown
    assert re.search(r"(\d+) tokens computed, \1 distinct, \d+ by hf \(\d\.\d times\)", shown)


def test_counts_of_another_kind_do_not_outlive_their_evaluation(pair: Pair) -> None:
    lm = sharing(pair[0])
    text = Instance("generate_until", {}, (SHOTS, {"until": ["@@"], "max_gen_toks": 3}), 0)
    lm.generate_until([text], disable_tqdm=True)
    answers(lm, REQUESTS)
    both = lm.sharing_info()["prefix_sharing"]
    assert both.keys() == {"generate_until", "loglikelihood", "peak_memory_bytes"}
    assert lm.sharing_info()["prefix_sharing"].keys() == both.keys()
    answers(lm, REQUESTS)
    assert lm.sharing_info()["prefix_sharing"].keys() == {"loglikelihood", "peak_memory_bytes"}
    lm.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (SHOTS,), 0)])
    assert lm.sharing_info() == {}


@pytest.mark.parametrize("shares", [True, False])
def test_tokens_that_went_through_the_model(shares: bool, pair: Pair) -> None:
    """A running total, whichever way requests go; the trial's own model does not count."""
    lm = adapted(pair, prefix_sharing=shares)
    seen = [0]

    def count(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        tokens = named.get("input_ids", given[0] if given else None)
        seen[0] += tokens.numel()

    lm.model.register_forward_pre_hook(count, with_kwargs=True)
    assert lm.tokens_computed == 0
    greedy = {"until": ["@@"], "max_gen_toks": 6}
    drawn = {**greedy, "do_sample": True, "temperature": 1.0}  # goes hf's way
    texts = [
        Instance("generate_until", {}, (SHOTS + end, options), 0)
        for options in (greedy, drawn)
        for end in ("Question: the dog?\nAnswer:", "Question: one?\nAnswer:")
    ]
    probe = shares  # one token that says how large a slot is
    for _ in range(2):
        answers(lm, REQUESTS)
        lm.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (SHOTS,), 0)])
        before = lm.tokens_computed
        lm.generate_until(texts)
        assert before < lm.tokens_computed == seen[0] - probe


def test_rolling_log_likelihoods_are_hfs_own(pair: Pair) -> None:
    lm, reference = sharing(pair[0], max_length=16), stock(pair[0], max_length=16, batch_size=3)
    requests = [Instance("loglikelihood_rolling", {}, (SHOTS,), 0)]
    assert lm.loglikelihood_rolling(requests) == reference.loglikelihood_rolling(requests)
    assert lm.sharing_info() == {}


def test_automatic_batch_sizes_are_not_probed(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    lm = PrefixSharingLM(pretrained=str(pair[0]), device="cpu", batch_size="auto")
    assert_same(answers(lm, REQUESTS), answers(stock(pair[0]), REQUESTS))
    assert "batch size" not in capsys.readouterr().out


def test_a_softmax_in_another_dtype(pair: Pair) -> None:
    ours, theirs = (
        answers(lm, REQUESTS)
        for lm in (sharing(pair[0], softmax_dtype="float64"), sharing(pair[0]))
    )
    assert_same(ours, theirs)
    assert ours != theirs


def test_autocast_is_hfs(pair: Pair) -> None:
    ours = answers(sharing(pair[0], mixed_precision_dtype="bfloat16"), REQUESTS)
    theirs = answers(stock(pair[0], mixed_precision_dtype="bfloat16", batch_size=3), REQUESTS)
    exact = answers(sharing(pair[0]), REQUESTS)
    for (our, _), (their, _), (whole, _) in zip(ours, theirs, exact, strict=True):
        assert our == pytest.approx(their, abs=0.2)
        assert our != whole


def test_an_empty_continuation_is_refused(pair: Pair) -> None:
    with pytest.raises(PAHarnessError, match=r"The answer '' behind .*a' has no token of its own"):
        sharing(pair[0])._loglikelihood_tokens([(("a", ""), [5], [])], disable_tqdm=True)
    assert sharing(pair[0])._loglikelihood_tokens([], disable_tqdm=True) == []


def test_what_cannot_be_shared_goes_hfs_way_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = OpenAIGPTConfig(vocab_size=320, n_embd=32, n_layer=2, n_head=4)
    torch.manual_seed(0)
    folder = save(OpenAIGPTLMHeadModel(config), tmp_path / "gpt")
    lm = sharing(folder)
    expected = answers(stock(folder, batch_size=3), REQUESTS)
    assert [answers(lm, REQUESTS), answers(lm, REQUESTS)] == [expected, expected]
    said = [r.message for r in caplog.records if "not shared" in r.message]
    why = "OpenAIGPTLMHeadModel refuses: NotATreeError: OpenAIGPTLMHeadModel takes no cache"
    assert said == [f"Prefixes are not shared: {why}."]
    assert lm.sharing_info()["prefix_sharing"] == {"why_not": why}


def test_only_requests_beyond_the_length_from_which_frequencies_grow_go_hfs_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    model = make_model("llama", seed=1, rope_parameters=rope, max_position_embeddings=40)
    folder = save(model, tmp_path / "dynamic")
    lm = PrefixSharingLM(pretrained=str(folder), device="cpu", batch_size=1, max_length=120)
    reference = stock(folder, max_length=120, batch_size=1)
    assert_same(answers(lm, REQUESTS[4:7]), answers(reference, REQUESTS[4:7]))
    assert "way" not in caplog.text
    assert_same(answers(lm, REQUESTS), answers(reference, REQUESTS))
    assert "5 requests go hf's way: beyond 40 tokens rotary frequencies grow." in caplog.text
    alone = sum(len(lm.tok_encode(rest)) for _, rest in REQUESTS[4:7])
    assert 0 < counts(lm)["computed"] <= alone
    until = {"until": ["@@"], "max_gen_toks": 5}
    texts = [Instance("generate_until", {}, (t, until), 0) for t in ("Is", SHOTS, "The quick")]
    assert lm.generate_until(texts) == reference.generate_until(texts)
    assert lm.sharing_info()["prefix_sharing"]["generate_until"]["decoded"] <= 2 * 4


@pytest.mark.parametrize("family", ["llama-tied", "mixtral", "gemma-3"])
def test_off_loaded_and_spread_weights(
    family: str, pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    pair = pair_of(family)
    expected = answers(adapted(pair, prefix_sharing=False), REQUESTS)
    for number, placement in enumerate(({"max_cpu_memory": "60KB"}, {}, {"device_map": "auto"})):
        folder = str(tmp_path / str(number))
        lm = adapted(pair, parallelize=True, offload_folder=folder, **placement)
        assert_same(answers(lm, REQUESTS), expected)
        assert counts(lm)["computed"]


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_weights_in_pieces_go_hfs_way(
    kind: str, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    lm = sharing(pair[0])
    lm.accelerator = SimpleNamespace(
        distributed_type=f"DistributedType.{kind}", unwrap_model=lambda model: model
    )
    assert answers(lm, REQUESTS) == answers(stock(pair[0], batch_size=3), REQUESTS)
    assert f"not shared: its weights are spread by DistributedType.{kind}." in caplog.text
