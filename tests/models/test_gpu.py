"""What only an accelerator can show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from shared_prompts import REQUESTS, answers, assert_same
from through_lm_eval import adapted, weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("family", ["llama-tied", "mixtral"])
def test_the_same_bytes_as_on_the_cpu(
    family: str, pair_of: Callable[..., tuple[Path, Path]]
) -> None:
    """From files the arithmetic is the CPU's, wherever the weights are."""
    pair = pair_of(family, torch.bfloat16)
    lm = adapted(pair, 0.1, device="cuda")
    lm.set_lam(0.3)
    expected = weights(adapted(pair, 0.3))
    for name, value in weights(lm).items():
        assert value.is_cuda
        assert torch.equal(value.cpu(), expected[name]), name


@pytest.mark.parametrize("family", ["llama", "gemma-2", "gemma-3", "mixtral", "gpt-2"])
def test_shared_prefixes_give_hfs_answers(
    family: str, pair_of: Callable[..., tuple[Path, Path]]
) -> None:
    pair = pair_of(family)
    whole = answers(adapted(pair, 0.3, device="cuda"), REQUESTS)
    lm = adapted(pair, 0.3, device="cuda", prefix_sharing=True)
    assert_same(answers(lm, REQUESTS), whole)
    assert lm.sharing_info()["prefix_sharing"]["loglikelihood"]["computed"]
