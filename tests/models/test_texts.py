"""Texts: tokenised once, and split as HFLM splits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from shared_prompts import REQUESTS, adapted, answers, assert_same, sharing
from through_lm_eval import stock

from pa_harness.models import texts as texts_module

if TYPE_CHECKING:
    from pathlib import Path

Pair = tuple["Path", "Path"]


def test_texts_are_tokenised_once_for_all_lams_and_models(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several tasks, in other company at the next λ, and by a new model of the same pair."""
    lm = adapted(pair, lam=0)
    others = [(context + "?", rest) for context, rest in REQUESTS]
    first, second = answers(lm, REQUESTS), answers(lm, others)
    lm.set_lam(1)
    expected = answers(adapted(pair, lam=1), others)
    again = adapted(pair, lam=1)
    given = lm.texts.given
    monkeypatch.setattr(lm, "tok_encode", None)
    assert answers(lm, others) == expected != second
    assert_same(answers(lm, REQUESTS[:3] + others[3:]), answers(lm, REQUESTS)[:3] + expected[3:])
    assert answers(again, others) == expected
    lm.set_lam(0)
    assert answers(lm, REQUESTS) == first
    assert lm.texts.given == again.texts.given == given


def test_every_distinct_text_is_given_to_the_tokenizer_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contexts less their last spaces, and contexts with continuations; in parts of 3 requests."""
    monkeypatch.setattr("pa_harness.models.plans._PART", 3)
    encode, seen = texts_module._encoded, []

    def counted(tokenizer: Any, given: list[str], special: bool | None) -> Any:
        seen.extend(given)
        return encode(tokenizer, given, special)

    monkeypatch.setattr(texts_module, "_encoded", counted)
    lm = sharing(pair[0])
    assert_same(answers(lm, REQUESTS), answers(stock(pair[0]), REQUESTS))
    expected = {context.rstrip() for context, _ in REQUESTS if context}
    expected |= {context + rest for context, rest in REQUESTS}
    assert sorted(seen) == sorted(expected)
    assert lm.texts.given == len(expected)


@pytest.mark.parametrize("plain", [True, False])
def test_tokenizers_with_ways_of_their_own_are_called_themselves(
    plain: bool, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = sharing(pair[0])
    if not plain:

        class Own(type(lm.tokenizer)):  # type: ignore[misc]
            def __call__(self, text: Any, **options: Any) -> Any:
                return super().__call__([each.lower() for each in text], **options)

        lm.tokenizer.__class__ = Own
    given = ["Question", "The QUICK", "brown"]
    found = list(texts_module._encoded(lm.tokenizer, given, None))
    expected = given if plain else [each.lower() for each in given]
    assert found == [sharing(pair[0]).tok_encode(each) for each in expected]


def test_spaces_and_special_tokens_are_split_as_hf_splits_them(pair: Pair) -> None:
    """Contexts of spaces only, that end in them, that begin with the first token's text."""
    pieces = ["", " ", "  ", "<s>", "<s> a", "a ", "a\n", " a", "Question: a?\nAnswer:", "</s>"]
    texts = [(context, rest) for context in pieces for rest in (" b", "b", "<s>b", "\n", "<s> c")]
    for options in ({}, {"add_bos_token": True}, {"add_bos_token": False}):
        lm = sharing(pair[0], **options)
        found = lm.texts.pairs(lm, texts)
        for (context, rest), (head, tail) in zip(texts, found, strict=True):
            if context:
                expected = lm._encode_pair(context, rest)
            else:
                tokens = lm.tok_encode(rest, add_special_tokens=False)
                own = tokens[0] == lm.prefix_token_id
                expected = (tokens[:1], tokens[1:]) if own else ([lm.prefix_token_id], tokens)
            assert (head.tolist(), list(tail)) == (list(expected[0]), list(expected[1]))
        prompts = [text for text in pieces if text]
        for text, tokens in zip(prompts, lm.texts.prompts(lm, prompts), strict=True):
            assert tokens.tolist() == lm.tok_batch_encode([text])[0][0].tolist()
