"""Run inside mergekit's own environment: merge to disk, or load what was merged.

``python -m benchmarks.support.mergekit_worker merge BASE INSTRUCT LAM DTYPE OUT``, ``load
FOLDER``, or ``follow YAML OUT``.
"""

from __future__ import annotations

import sys

from benchmarks.support.measure import Phases


def merge(base: str, instruct: str, lam: str, dtype: str, out: str) -> Phases:
    """Merge linearly with mergekit, with weights 1 − λ and λ, and write to `out`."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    weights = {base: 1 - float(lam), instruct: float(lam)}
    config = {
        "merge_method": "linear",
        "dtype": dtype,
        "models": [{"model": m, "parameters": {"weight": w}} for m, w in weights.items()],
    }
    phases = Phases()
    with phases.phase("merge"):
        run_merge(MergeConfiguration.model_validate(config), out, MergeOptions(quiet=True))
    return phases


def load(folder: str) -> Phases:
    """from_pretrained, and one read of every memory page of the (mapped) weights."""
    import torch
    from transformers import LlamaForCausalLM

    phases = Phases()
    with phases.phase("load"), torch.no_grad():
        model = LlamaForCausalLM.from_pretrained(folder, dtype="auto")
        for parameter in model.parameters():
            parameter.flatten()[::1024].sum()  # 1024 elements: at most a page of 4096 bytes
    return phases


def follow(recipe: str, out: str) -> Phases:
    """What the command ``mergekit-yaml RECIPE OUT`` does."""
    from mergekit.scripts.run_yaml import main

    phases = Phases()
    with phases.phase("follow"):
        main([recipe, out, "--quiet"], standalone_mode=False)
    return phases


if __name__ == "__main__":
    {"merge": merge, "load": load, "follow": follow}[sys.argv[1]](*sys.argv[2:]).emit()
