"""Thinking in answers: scripted token by token, against an independent count, and generated."""

from __future__ import annotations

import math

import pytest
from families import make_tokenizer

from pa_harness.errors import ModelArgsError
from pa_harness.models.generated import AnswerLengths, Thinking, measured

MARK, END = "</think>", 1
TOKENIZER = make_tokenizer()  # cuts the mark into several tokens


def ids(text: str) -> list[int]:
    found: list[int] = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    return found


def thinking(mark: str | int = MARK) -> Thinking:
    found = Thinking.of(mark, TOKENIZER)
    assert found is not None
    return found


def count(tokens: list[int]) -> int:
    """Tokens up to the last mark, one more token at a time."""
    texts = [TOKENIZER.decode(tokens[:n], skip_special_tokens=True) for n in range(len(tokens) + 1)]
    most = texts[-1].count(MARK)
    return next(n for n, text in enumerate(texts) if text.count(MARK) == most) if most else 0


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("<think>is it blue?</think> blue", True),
        ("it may be</think>\n\nblue", False),  # the template opened the block
        ("<think>one <think>two</think> three</think> four", True),  # nested: up to the last
        ("<think></think>", True),
        ("<think>it goes on and on", True),  # cut
        ("no block at all", False),
        ("almost </thin k> a mark", False),
        ("ends </think", False),
    ],
)
@pytest.mark.parametrize("ended", [True, False])
def test_scripted_answers(text: str, opened: bool, ended: bool) -> None:
    tokens = ids(text)
    assert len(ids(MARK)) > 1
    found = measured(
        [*tokens, END, 2, 2] if ended else tokens, [END], [], TOKENIZER.decode, thinking()
    )
    closed = MARK in text
    wanted = count(tokens) if closed else len(tokens) * opened
    assert found == (len(tokens), ended, wanted, float(closed))


def test_a_mark_that_one_token_completes_together_with_more() -> None:
    """The token that ends the mark may bring text of the answer; it belongs to the thinking."""
    tokens = ids("a</think>the rest")
    end = int(thinking().measured(tokens)[0])
    assert MARK in TOKENIZER.decode(tokens[:end])
    assert MARK not in TOKENIZER.decode(tokens[: end - 1])


def test_the_mark_as_a_token() -> None:
    tokens = [70, 80, 90, 4, 71, 4, 72]
    found = measured(tokens, [END], [], TOKENIZER.decode, thinking(4))
    assert found == (7, False, 6, 1.0)
    assert measured([70, 80], [END], [], TOKENIZER.decode, thinking(4)) == (2, False, 0.0, 0.0)


def test_a_block_that_the_prompt_opened_is_thinking_until_it_closes() -> None:
    lengths = AnswerLengths(thinking())
    for prompt, tokens in (
        ("Why?<think>\n", ids("because")),
        ("Why?<think>\n", ids("because</think>so")),
        ("<think>old</think> Why?", ids("because")),
    ):
        lengths.add(prompt, measured(tokens, [END], [], TOKENIZER.decode, thinking()))
    first, second = lengths.found["Why?<think>\n"]
    assert (first.thinking, first.closed) == (len(ids("because")), 0)
    assert (second.thinking, second.closed) == (count(ids("because</think>so")), 1)
    assert lengths.found["<think>old</think> Why?"][0].thinking == 0


def test_a_model_that_does_not_think_has_no_such_numbers() -> None:
    found = measured(ids("a</think>b"), [END], [], TOKENIZER.decode)
    assert math.isnan(found.thinking)
    assert math.isnan(found.closed)
    assert Thinking.of(None, TOKENIZER) is None


def test_a_special_token_as_text_is_refused() -> None:
    special = make_tokenizer(extra=(MARK,))
    with pytest.raises(
        ModelArgsError, match=r"is a special token .* Pass its id: think_end_token="
    ):
        Thinking.of(MARK, special)
    number = special.convert_tokens_to_ids(MARK)
    found = Thinking.of(number, special)
    assert found is not None
    assert (found.mark, found.opening) == (number, "<think>")


def test_answers_to_one_prompt_stay_in_their_order() -> None:
    lengths, parts = AnswerLengths(), [AnswerLengths(), AnswerLengths()]
    for number, (part, prompt) in enumerate([(0, "a"), (0, "b"), (1, "a"), (1, "a")]):
        parts[part].add(prompt, measured([70] * number, [END], [], TOKENIZER.decode))
    lengths.join(part.found for part in parts)
    assert {p: [each.tokens for each in found] for p, found in lengths.found.items()} == {
        "a": [0, 2, 3],
        "b": [1],
    }


def test_lm_evals_own_cut_is_where_thinking_ends() -> None:
    """What is behind the counted tokens is what lm-eval keeps."""
    from lm_eval.models.utils import postprocess_generated_text

    for text in ("<think>x</think> blue", "a</think>b</think>  c d"):
        tokens = ids(text)
        end = int(thinking().measured(tokens)[0])
        kept = postprocess_generated_text(TOKENIZER.decode(tokens), None, MARK)
        assert kept.endswith(TOKENIZER.decode(tokens[end:]).lstrip())
