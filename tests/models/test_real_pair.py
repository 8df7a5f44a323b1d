"""The real demo pair and real data, through lm-eval itself. Slow: the pair is made first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from real_samples import samples

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def test_ends_score_like_hf_document_by_document(real: tuple[Any, Path]) -> None:
    pair, tasks = real
    ours = {"pretrained": pair.base, "instruct": pair.instruct, "prefix_sharing": False}
    base = samples(tasks, "hf", pretrained=pair.base, tokenizer=pair.instruct)
    assert samples(tasks, "partially_adapted", **ours, lam=0) == base
    instruct = samples(tasks, "hf", pretrained=pair.instruct)
    assert samples(tasks, "partially_adapted", **ours, lam=1) == instruct
    assert base != instruct


def test_shared_prefixes_score_like_hf(real: tuple[Any, Path]) -> None:
    pair, tasks = real
    stock = samples(tasks, "hf", pretrained=pair.instruct)
    ours = {"pretrained": pair.base, "instruct": pair.instruct, "lam": 1}
    for task, values in samples(tasks, "partially_adapted", **ours).items():
        assert values == pytest.approx(stock[task], abs=1e-4)
        assert values != stock[task]


def test_the_adapter_scores_like_hf_with_peft(real: tuple[Any, Path]) -> None:
    pair, tasks = real
    if pair.adapter is None:
        pytest.skip("the hub pair has no adapter")
    ours = samples(tasks, "partially_adapted", pretrained=pair.base, peft=pair.adapter, lam=1)
    theirs = samples(tasks, "hf", pretrained=pair.base, peft=pair.adapter)
    for task, values in theirs.items():
        for left, right in zip(ours[task], values, strict=True):
            assert math.isclose(left, right, abs_tol=2e-3), task
