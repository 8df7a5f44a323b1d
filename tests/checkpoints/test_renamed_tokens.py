"""Tokens that a fine-tune gave another name under the same id."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from breakage import copied
from exports import export
from families import make_tokenizer
from through_lm_eval import adapted, assert_same_weights

from pa_harness.errors import PairError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
Names = list[str]

RESERVED: dict[str, tuple[Names, Names]] = {  # as the families publish them
    "Llama 3": (["<|reserved_special_token_2|>"], ["<|im_start|>"]),
    "InternLM": (["[UNUSED_TOKEN_145]"], ["<|im_end|>"]),
    "Phi 3": (["<|placeholder1|>", "<|placeholder2|>"], ["<|tool|>", "<|/tool|>"]),
    "Falcon 3": ([">>UNUSED_119<<", ">>UNUSED_120<<"], ["<|user|>", "<|assistant|>"]),
    "DeepSeek": (["<｜place▁holder▁no▁799｜>"], ["<think>"]),
    "Gemma": (["<unused0>", "<unused1>"], ["<tool_call>", "</tool_call>"]),
    "Mistral": (["<SPECIAL_20>", "[control_9]"], ["[TOOL]", "[IMG]"]),
    "OLMo": (["<|extra_id_3|>"], ["<|functions|>"]),
    "BERT": (["[unused7]"], ["[ROLE]"]),
    "BLOOM": (["<extra_token_1>"], ["<user>"]),
    "the other way": (["<|im_start|>"], ["<|dummy_0|>"]),
}
CONTROL: dict[str, tuple[Names, Names]] = {
    "R1-Distill of Qwen": (
        ["<|endoftext|>", "<|box_start|>", "<|box_end|>"],
        ["<｜end▁of▁sentence｜>", "<think>", "</think>"],
    ),
    "ChatML on EOT": (["<|eot_id|>"], ["<|im_end|>"]),
}


def renamed(pair: Pair, folder: Path, old: Names, new: Names) -> Pair:
    """The pair with these tokens at the same ids."""
    pair = copied(pair, folder)
    for chat, side in enumerate(pair):
        make_tokenizer(chat=bool(chat), extra=tuple(old)).save_pretrained(side)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        text = (pair[1] / file).read_text()
        for before, after in zip(old, new, strict=True):
            for ascii_only in (False, True):
                before_, after_ = (json.dumps(t, ensure_ascii=ascii_only) for t in (before, after))
                text = text.replace(before_, after_)
        (pair[1] / file).write_text(text)
    return pair


@pytest.mark.parametrize("what", RESERVED)
def test_reserved_tokens_get_names(what: str, pair: Pair, tmp_path: Path) -> None:
    old, new = RESERVED[what]
    lm = adapted(renamed(pair, tmp_path, old, new), 0.5)
    assert_same_weights(lm, adapted(pair, 0.5))
    said = next(note for note in lm._notes if "renames" in note)
    assert f"renames {len(old)} reserved tokens" in said
    assert f"base {old[0]!r}, instruct {new[0]!r}" in said


@pytest.mark.parametrize("what", CONTROL)
def test_other_tokens_must_be_accepted(
    what: str, pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are then listed in results, and in the card of an export."""
    old, new = CONTROL[what]
    sides = renamed(pair, tmp_path, old, new)
    message = rf"{len(old)} token ids mean different tokens in base and instruct:(?s:.*)renamed_tok"
    with pytest.raises(PairError, match=message):
        adapted(sides, 0.5)
    lm = adapted(sides, 0.5, renamed_tokens="accept")
    assert_same_weights(lm, adapted(pair, 0.5))
    info: dict[str, Any] = lm.get_model_info()
    assert info["renamed_tokens"] == "accept"
    assert any(f"renames {len(old)} tokens" in note for note in info["notes"])
    assert export(sides, tmp_path / "out", 0.5, renamed_tokens="accept") == 0
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert f"renames {len(old)} tokens" in card


def test_letters_that_changed_places_are_refused_by_name(
    pair_of: Callable[..., Pair], tmp_path: Path
) -> None:
    from breakage import other_tokens

    pair = copied(pair_of("qwen-3"), tmp_path)
    other_tokens(pair[1])
    with pytest.raises(PairError, match=r"2 token ids mean different tokens"):
        adapted(pair, 0.5)
