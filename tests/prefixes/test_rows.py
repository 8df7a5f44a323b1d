"""Rows of forked caches against one forward pass per request, for every kind of layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from families import VOCABULARY, save
from hybrid_models import HYBRIDS, hybrid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_prompts import REQUESTS, answers, assert_same, sharing
from small_models import CPU
from through_lm_eval import stock
from trie_requests import alone, continued_alone, limited, prompts, requests

from pa_harness.prefixes.decoding.generation import Asked
from pa_harness.prefixes.forms import FORMS, TREE, Form
from pa_harness.prefixes.reading import Reader
from pa_harness.prefixes.rows.stack import Stack, room_of
from pa_harness.prefixes.rows.states import nbytes
from pa_harness.prefixes.scoring import Request
from pa_harness.prefixes.trial import chosen

if TYPE_CHECKING:
    from pathlib import Path

    from pa_harness.prefixes.counts import Counts

EVEN = {"llama 4 (chunks)"}  # scales queries by the slots of its cache, whoever they are of


def form_of(name: str) -> Form:
    return FORMS[3 if name in EVEN else 1]


def scored(
    name: str, found: list[Request], limits: Any
) -> tuple[dict[int, tuple[float, bool]], Counts]:
    form = form_of(name)
    reader = form.read_by(Reader(hybrid(name), CPU, limits))
    plan = form.planner(reader)(dict(enumerate(found)), None)
    pairs = list(form.score(reader, [plan]))
    assert sorted(index for index, _ in pairs) == list(range(len(found)))
    return dict(pairs), reader.counts


@pytest.mark.parametrize("name", HYBRIDS)
def test_a_trial_takes_the_form(name: str) -> None:
    assert chosen(hybrid(name)) == (form_of(name), "")


@pytest.mark.parametrize("name", HYBRIDS)
@given(found=requests(), tokens=st.sampled_from([5, 17, 200]), pass_cost=st.sampled_from([1, 20]))
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_kind_gives_what_it_gives_alone(
    name: str, found: list[Request], tokens: int, pass_cost: int
) -> None:
    given_answers, counts = scored(name, found, limited(tokens, pass_cost=pass_cost))
    for index, request in enumerate(found):
        expected, greedy = alone(hybrid(name), request)
        assert given_answers[index][0] == pytest.approx(expected, abs=1e-4)
        assert given_answers[index][1] == greedy
    assert counts.computed >= counts.distinct


@pytest.mark.parametrize("name", HYBRIDS)
@given(
    given_prompts=prompts(),
    rows=st.integers(1, 4),
    limit=st.integers(1, 8),
    ends=st.frozensets(st.integers(0, VOCABULARY - 1), max_size=150),
)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_kind_continues_as_it_does_alone(
    name: str, given_prompts: list[list[int]], rows: int, limit: int, ends: frozenset[int]
) -> None:
    form = form_of(name)
    limits = limited(17, pass_cost=1)
    limits = type(limits)(**{**vars(limits), "rows": rows})
    reader = form.read_by(Reader(hybrid(name), CPU, limits))
    asked = Asked(given_prompts, limit, ends, lambda _: False)
    found = list(form.continuations(reader, asked))
    assert sorted(index for index, _ in found) == list(range(len(given_prompts)))
    for index, tokens in found:
        assert tokens == continued_alone(hybrid(name), given_prompts[index], limit, ends)


def documents(count: int, shots: int) -> list[Request]:
    """Few-shot questions of many lengths with four options each."""
    generator = torch.Generator().manual_seed(0)

    def some(tokens: int) -> list[int]:
        return torch.randint(3, VOCABULARY, (tokens,), generator=generator).tolist()

    common, found = some(shots), []
    for number in range(count):
        question = common + some(20 + number * 7 % 40)
        found += [Request.cut(question, some(1 + option * 2), 10**6) for option in range(4)]
    return found


@pytest.mark.parametrize("name", ["qwen 3.5 (gated delta rule)", "bloom (ALiBi)", "mamba 2"])
def test_few_tokens_are_computed_twice(name: str) -> None:
    """Padding counts as computed; a plain decoder's plan computes the distinct ones."""
    counts = scored(name, documents(100, 400), limited(1024))[1]
    assert counts.computed <= 1.3 * counts.distinct
    assert counts.stock > 20 * counts.computed


def test_rows_go_on_beside_each_other_wherever_they_are() -> None:
    """Few passes, none of one token, which some layers compute by another function."""
    limits = limited(1024)
    reader = form_of("nemotron h").read_by(Reader(hybrid("nemotron h"), CPU, limits))
    found = dict(enumerate(documents(100, 400)))
    planned = {}
    for uneven in (True, False):
        planner = FORMS[1 if uneven else 3].planner(replace(reader, uneven=uneven))
        planned[uneven] = planner(found, None).steps
    for steps in planned.values():
        assert all(step.tokens.shape[1] > 1 for step in steps)
        assert all((step.lengths == step.tokens.shape[1]).all() for step in steps if step.keeps)
    assert any(step.start.min() < step.start.max() for step in planned[True])
    assert all(step.start.min() == step.start.max() for step in planned[False])
    assert 3 * len(planned[True]) < len(planned[False])


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("qwen 3.5 (gated delta rule)", 1 << 18),
        ("bloom (ALiBi)", 1 << 18),
        ("mamba 2", 1 << 17),
        ("granite 4 h (mamba 2)", 1 << 18),
    ],
)
def test_no_more_states_are_kept_than_of_a_path_and_a_pass(
    name: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step of the path and the pass holds a share of `Limits.kept` at most, and it matters."""
    held: list[int] = []
    extend = Stack.extend

    def watched(self: Stack, *given: Any) -> Any:
        yield from extend(self, *given)
        held.append(self.nbytes + nbytes(self._forward.cache))

    monkeypatch.setattr(Stack, "extend", watched)
    peaks = []
    for kept in (1 << 26, room):
        held.clear()
        limits = limited(1024)
        scored(name, documents(120, 60), type(limits)(**{**vars(limits), "kept": kept}))
        peaks.append(max(held))
    assert peaks[1] <= room < peaks[0]


def test_what_a_step_may_take_is_measured() -> None:
    """Keys and values grow with the tokens, states do not."""
    limits = limited(64)
    of_keys = room_of(Reader(hybrid("bloom (ALiBi)"), CPU, limits))
    assert of_keys.slots == limits.kept // 4 // (2 * 2 * 32 * 4)
    assert of_keys.rows == limits.tokens
    of_states = room_of(Reader(hybrid("mamba 2"), CPU, limits))
    assert of_states.slots == limits.kept // 4


@pytest.mark.parametrize("name", ["qwen 3 next", "jamba (mamba 1)", "bamba"])
def test_through_lm_eval(name: str, tmp_path: Path) -> None:
    folder = save(hybrid(name), tmp_path / "hybrid")
    lm, hf = sharing(folder), stock(folder, batch_size=3)
    assert_same(answers(lm, REQUESTS), answers(hf, REQUESTS))
    assert lm.sharing_info()["prefix_sharing"]["loglikelihood"]["passes"] > 0


def test_a_plain_decoder_keeps_its_tree() -> None:
    from families import make_model

    assert chosen(make_model("llama", seed=1)) == (TREE, "")
