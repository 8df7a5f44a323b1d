"""Three stages of one model, and a path through them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from families import make_instruct, make_model, save
from lm_eval.api.registry import get_model
from safetensors.torch import load_file
from through_lm_eval import CPU, WHOLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def make_stages(folder: Path, count: int = 3, family: str = "llama-tied") -> list[Path]:
    """Checkpoints, each tuned from the one before; all but the first have a chat template."""
    model = make_model(family, seed=1)
    stages = [save(model, folder / "base")]
    for number in range(1, count):
        model = make_instruct(model, seed=1 + number)
        stages.append(save(model, folder / f"stage{number}", chat=True))
    return stages


def on_path(stages: Sequence[Any], lam: Any, **arguments: Any) -> Any:
    """The model of θ_λ."""
    path = [each if isinstance(each, dict) else str(each) for each in stages]
    return get_model("partially_adapted")(path=path, lam=lam, **CPU | WHOLE | arguments)


def lerp(before: Path, after: Path, there: float) -> dict[str, torch.Tensor]:
    """θ between two checkpoints, in fp64 and rounded to fp32, from their files."""
    first, second = (load_file(each / "model.safetensors") for each in (before, after))
    return {
        name: (
            first[name].double() + there * (second[name].double() - first[name].double())
        ).float()
        for name in first
    }
