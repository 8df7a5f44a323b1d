"""Requests and prompts that begin alike, and what a model says of each by itself."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from hypothesis import strategies as st
from small_models import tokens

from pa_harness.prefixes.limits import Limits
from pa_harness.prefixes.scoring import Request


@torch.no_grad()
def alone(model: Any, request: Request) -> tuple[float, bool]:
    """One request, one forward pass of the model as it comes."""
    table = model(torch.tensor([list(request.tokens)])).logits[0].double().log_softmax(-1)
    rows = table[len(request.tokens) - len(request.targets) :]
    total = sum(float(row[target]) for row, target in zip(rows, request.targets, strict=True))
    return total, rows.argmax(-1).tolist() == list(request.targets)


@st.composite
def requests(draw: st.DrawFn) -> list[Request]:
    """Tasks with shots, documents with options; at random the shots differ or prompts are cut."""
    length = draw(st.sampled_from([12, 30, 64]))
    found = []
    for _ in range(draw(st.integers(1, 2))):
        shots = draw(st.lists(tokens(1, 14), min_size=1, max_size=3))
        for _ in range(draw(st.integers(1, 3))):
            order = draw(st.permutations(shots)) if draw(st.booleans()) else shots
            context = list(chain(*order)) + draw(tokens(0, 8))
            for option in draw(st.lists(tokens(1, 5), min_size=1, max_size=4)):
                found.append(Request.cut(context, option, length))
    return draw(st.permutations(found))


def limited(tokens: int, **others: Any) -> Limits:
    return Limits(tokens, rows=4, kept=1 << 24, **others)


@torch.no_grad()
def continued_alone(model: Any, prompt: list[int], limit: int, ends: frozenset[int]) -> list[int]:
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
