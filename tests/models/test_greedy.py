"""Where texts end: stop sequences, seen where hf sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from shared_prompts import sharing

from pa_harness.models.greedy import Stops

if TYPE_CHECKING:
    from pathlib import Path

Pair = tuple["Path", "Path"]


@pytest.mark.parametrize("until", [["e"], ["\n"], [" q", "ue"], ["é"], ["<turn>", "\n\n"]], ids=str)
def test_stop_sequences_are_seen_where_hf_sees_them(until: list[str], pair: Pair) -> None:
    """Against decoding the last tokens after every token, over random tokens."""
    lm = sharing(pair[0])
    decode, encode = lm.tokenizer.decode, lm.tokenizer.encode
    last = {stop: len(encode(stop, add_special_tokens=False)) + 2 for stop in until}
    stops, generator = Stops(lm.tokenizer, until), torch.Generator().manual_seed(0)
    seen = 0
    for _ in range(60):
        tokens: list[int] = []
        for token in torch.randint(0, 300, (40,), generator=generator).tolist():
            tokens.append(token)
            expected = any(stop in decode(tokens[-n:]) for stop, n in last.items())
            assert stops.done(tokens) == expected
            seen += expected
            if expected:
                break
    assert seen or until == ["é"]
