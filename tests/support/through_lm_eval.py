"""Our model and lm-eval's own `hf` by the registry, their answers and their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

Pair = tuple["Path", "Path"]


TEXTS = [
    ("Question: which colour? Answer:", " blue"),
    ("Is the film good?", " It is a great film"),
    ("", "The quick brown fox"),
]


CPU: dict[str, Any] = {"device": "cpu", "batch_size": 2}


WHOLE = {"prefix_sharing": False}  # every prompt as hf computes it, so that bits can be compared


def adapted(pair: Pair, lam: float, **arguments: Any) -> Any:
    cls = get_model("partially_adapted")
    return cls(pretrained=str(pair[0]), instruct=str(pair[1]), lam=lam, **CPU | WHOLE | arguments)


def stock(folder: Path, **arguments: Any) -> Any:
    return get_model("hf")(pretrained=str(folder), **CPU | arguments)


def scores(lm: Any) -> list[tuple[float, bool]]:
    requests = [Instance("loglikelihood", {}, text, 0) for text in TEXTS]
    return [tuple(answer) for answer in lm.loglikelihood(requests)]


def weights(lm: Any) -> dict[str, torch.Tensor]:
    """Parameters, tied ones once, and the buffers that are saved with them."""
    saved = lm.model.state_dict()
    buffers = {name: buffer for name, buffer in lm.model.named_buffers() if name in saved}
    return {name: tensor.data for name, tensor in [*lm.model.named_parameters(), *buffers.items()]}


def assert_same_weights(ours: Any, theirs: Any) -> None:
    ours, theirs = weights(ours), weights(theirs)
    assert ours.keys() == theirs.keys()
    different = [
        name
        for name, value in ours.items()
        if value.dtype != theirs[name].dtype
        or not torch.equal(value.view(torch.uint8), theirs[name].view(torch.uint8))
    ]
    assert not different
