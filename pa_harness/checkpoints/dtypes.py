"""The dtype of θ_λ where nobody asks for one: that of the bulk of both files."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import torch

from pa_harness.checkpoints.quantised import quantised_keys
from pa_harness.checkpoints.side import grouped
from pa_harness.errors import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.checkpoints.architecture import Architecture
    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.checkpoints.parameters import Source

_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def bulk_dtype(checkpoint: Checkpoint) -> torch.dtype:
    """What most elements of the files have; of quantised files what config.json says.

    `hf` goes by config.json, or where that is silent, by the first tensor.
    """
    if quantised_keys(checkpoint):
        raw = checkpoint.read_json("config.json")
        text = raw.get("text_config") or {}
        named = raw.get("dtype") or raw.get("torch_dtype") or text.get("dtype") or "bfloat16"
        dtype = getattr(torch, str(named), None)
        return dtype if dtype in _FLOATS else torch.bfloat16
    elements: Counter[torch.dtype] = Counter()
    for tensor in checkpoint.tensors.values():
        if tensor.dtype in _FLOATS:
            elements[tensor.dtype] += math.prod(tensor.get_shape())
    return elements.most_common(1)[0][0] if elements else torch.float32


def common_dtype(*sides: Checkpoint) -> torch.dtype:
    """The bulk's of all sides, or fp32, in which all are exact, where they differ."""
    kinds = {bulk_dtype(side) for side in sides}
    return kinds.pop() if len(kinds) == 1 else torch.float32


def rounded(
    checkpoint: Checkpoint, model: Architecture, sources: Mapping[str, Source]
) -> list[str]:
    """What to say of values that are wider in the files than in the model."""
    narrowed = [
        name
        for name, source in sources.items()
        if source.slice.dtype.is_floating_point
        and source.slice.dtype.itemsize > model.dtypes[name].itemsize > 1
    ]
    if not narrowed:
        return []
    return [
        f"{checkpoint}: {len(narrowed)} of {len(sources)} parameters are wider in the files than "
        f"the rest, and are rounded to {model.dtype} as with "
        f"hf:\n{listed(grouped(narrowed))}\ndtype=float32 keeps them."
    ]
