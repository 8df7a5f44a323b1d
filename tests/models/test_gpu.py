"""What only an accelerator can show."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
import torch
from shared_prompts import REQUESTS, answers, assert_same
from small_models import model_of
from through_lm_eval import adapted, weights

from pa_harness.prefixes.decoding.generation import Asked, continuations
from pa_harness.prefixes.decoding.graphs import Graphs
from pa_harness.prefixes.reading import Reader

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


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_the_same_bytes_from_memory_and_from_files(
    rounding: str, pair_of: Callable[..., tuple[Path, Path]]
) -> None:
    """Made on the device from both originals, or on the CPU from the files."""
    pair = pair_of("llama-tied", torch.bfloat16)
    options = {"rounding": rounding, "device": "cuda"}
    kept = adapted(pair, 0.1, keep="memory", **options)
    files = adapted(pair, 0.1, keep="files", **options)
    for lam in (0.3, 0.7, 0, 1):
        kept.set_lam(lam)
        files.set_lam(lam)
        expected = weights(files)
        for name, value in weights(kept).items():
            assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("family", ["llama", "gemma-2", "gemma-3", "gpt-oss (sinks)"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_steps_that_are_captured_give_the_same_tokens(family: str, dtype: torch.dtype) -> None:
    """Forty tokens of six prompts, in graphs and as they come."""
    model = copy.deepcopy(model_of(family)).to("cuda", dtype)
    reader = Reader.of(model, torch.device("cuda"))
    prompts = [[3, 4, *range(9 * n + 7, 9 * n + 12 + n)] for n in range(6)]
    asked = Asked(prompts, 40, frozenset(), lambda _: False)
    captured = dict(continuations(reader, asked))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Graphs, "run", lambda _self, _name, function: function())
        assert dict(continuations(reader, asked)) == captured
