"""Tensors that no λ can move: what both ends hold as integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from breakage import copy, weights
from exports import export
from safetensors.torch import load_file

from pa_harness.checkpoints.hub import open_checkpoint
from pa_harness.checkpoints.pair import full_pair
from pa_harness.errors import PairError
from pa_harness.models.vllm.weights import EngineWeights

if TYPE_CHECKING:
    from pathlib import Path

    from through_lm_eval import Pair

KEY = "model.extra.weight"


def with_integers(pair: Pair, folder: Path, *, more: int) -> Pair:
    """A copy of the pair with 0 … 4 in one tensor; the instruct side's are larger by `more`."""
    sides = copy(pair, folder)
    for number, side in enumerate(sides):
        weights(extra=lambda _, add=number * more: torch.arange(5) + add)(side)
    return sides


@pytest.mark.parametrize("lam", [0, 0.3, 1, 1.5])
def test_equal_integers_stay_as_they_are(lam: float, pair: Pair, tmp_path: Path) -> None:
    sides = with_integers(pair, tmp_path, more=0)
    assert export(sides, tmp_path / "model", lam, "--dtype", "bfloat16") == 0
    found = load_file(tmp_path / "model/model.safetensors")[KEY]
    assert found.dtype == torch.int64
    assert found.tolist() == [0, 1, 2, 3, 4]


def test_integers_that_differ_are_refused(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In an export, and before an engine starts, which reads every tensor of both sides."""
    sides = with_integers(pair, tmp_path / "pair", more=1)
    assert export(sides, tmp_path / "model", 0.5) == 2
    message = f"{KEY} holds integers that differ between base and instruct."
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    opened = full_pair(*map(open_checkpoint, map(str, sides), ("base", "instruct")))
    with pytest.raises(PairError, match=message):
        EngineWeights(opened, torch.float32).examine_all()
