"""Counts of layers and experts that no file could hold; those that one does hold are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from pa_harness.checkpoints import configuration
from pa_harness.checkpoints.checkpoint import Checkpoint
from pa_harness.checkpoints.configuration import read_config
from pa_harness.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

# Where up to 20 layers, and 1,000 experts in all of them, are not looked at:
# what: (layers, experts, tensors in the file, rows of the largest, what is too many)
SIZES = {
    "layers, a tensor each": (25, 2, 25, 1, ""),
    "one layer more": (26, 2, 25, 1, "num_hidden_layers=26"),
    "few layers, and no tensor of theirs": (20, 2, 1, 1, ""),
    "experts in one tensor": (2, 600, 2, 600, ""),
    "one expert more": (2, 601, 2, 600, "num_local_experts=601"),
    "experts, a tensor each": (10, 210, 2_100, 1, ""),
    "a layer of experts more": (11, 210, 2_100, 1, "num_local_experts=210"),
    "few experts, and no tensor of theirs": (10, 100, 1, 1, ""),
    "many layers of few experts": (25, 30, 25, 1, ""),
}


@pytest.mark.parametrize("what", SIZES)
def test_counts_that_the_files_hold_are_read(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "_FEW_LAYERS", 20)
    monkeypatch.setattr(configuration, "_FEW_EXPERTS", 1_000)
    layers, experts, tensors, rows, refused = SIZES[what]
    config = {"model_type": "mixtral", "num_hidden_layers": layers, "num_local_experts": experts}
    (tmp_path / "config.json").write_text(json.dumps(config))
    held = {f"t{n}": torch.zeros(rows if n == 0 else 1) for n in range(tensors)}
    save_file(held, tmp_path / "model.safetensors")
    checkpoint = Checkpoint("it", "base", tmp_path)
    if refused:
        message = rf"says {refused}, but the files hold {tensors} tensors of at most {rows} rows"
        with pytest.raises(CheckpointError, match=message):
            read_config(checkpoint)
    else:
        assert read_config(checkpoint).num_hidden_layers == layers
