"""θ_λ for other tools, without its weights: mergekit's YAML, and a LoRA scaled to λ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pa_harness.checkpoints.adapters.adapter import read_adapter
from pa_harness.checkpoints.adapters.lora import places
from pa_harness.checkpoints.pair import is_adapter
from pa_harness.checkpoints.parameters import AssembledSlice
from pa_harness.errors import ExportError, listed
from pa_harness.export.model import copy_files
from pa_harness.lam.path import place
from pa_harness.lam.schedule import Schedule
from pa_harness.storage import new_folder
from pa_harness.weights.methods import angle, arc

if TYPE_CHECKING:
    from pathlib import Path

    from pa_harness.weights.opening import Opened

_DTYPES = ("float32", "bfloat16", "float16")  # mergekit's


def write_mergekit(opened: Opened, folder: Path) -> str:
    """Write ``mergekit.yaml``, with which ``mergekit-yaml`` makes the same weights.

    mergekit evaluates (1 − λ) θ_base + λ θ_instruct in fp32 where ours is a lerp: equal to the
    order of fp32 operations. Its own slerp has Ω in fp32 and is a lerp where cos Ω > 0.9995; so
    slerp is given as what it takes of both ends of each tensor.

    Returns:
        How to use it.

    Raises:
        ExportError: mergekit has no such merge.
    """
    import yaml

    args, weights = opened.args, opened.weights
    if weights.pair.legs > 1 and isinstance(args.lam, Schedule):
        raise ExportError(
            "--format mergekit: a schedule on a path would merge other checkpoints for other "
            "tensors. Export the model itself, --format hf."
        )
    adapters = any(map(is_adapter, weights.pair.knots))
    odd = adapters or args.rounding != "nearest" or args.extra_rows != "refuse"
    if odd or args.method == "low_rank":
        raise ExportError(
            "--format mergekit: mergekit cannot do this merge (it has no equal of peft=, "
            "method=low_rank, rounding=stochastic and extra_rows=copy). Export the model itself, "
            "--format hf."
        )
    dtype = str(weights.dtype).removeprefix("torch.")
    if dtype not in _DTYPES:
        raise ExportError(f"mergekit has no dtype {weights.dtype}. Pass --dtype float32.")
    content = {**_merge(opened), "dtype": dtype}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    with new_folder(folder) as working:
        (working / "mergekit.yaml").write_text(text, encoding="utf-8")
    return f"Merge with: mergekit-yaml {folder / 'mergekit.yaml'} OUTPUT"


def _merge(opened: Opened) -> dict[str, Any]:
    """Settings for mergekit; the first model gives it configuration and tokenizer."""
    pair = opened.weights.pair
    base, instruct = (str(knot.folder) for knot in pair.knots[_leg(opened)[0] :][:2])
    weights = _weights(opened)
    if opened.args.method == "trim":
        numbers = {"weight": weights[0], "density": opened.args.density}
        return {
            **{"merge_method": "ties", "base_model": base},
            "models": [{"model": instruct, "parameters": numbers}],
            "parameters": {"normalize": False},
        }
    models = zip((instruct, base), weights, strict=True)
    return {
        "merge_method": "linear",
        "models": [{"model": name, "parameters": {"weight": each}} for name, each in models],
        "parameters": {"normalize": False},
    }


def _leg(opened: Opened) -> tuple[int, float]:
    """The leg that λ is on and how far; of a schedule the only one."""
    lam = opened.args.lam
    return (0, 0.0) if isinstance(lam, Schedule) else place(lam, opened.weights.pair.legs)


def _weights(opened: Opened) -> tuple[Any, Any]:
    """Of instruct and base: a number, or one per tensor by its full name (the first match wins)."""
    lam, slerp = opened.args.lam, opened.args.method == "slerp"
    leg, there = _leg(opened)
    if not slerp and not isinstance(lam, Schedule):
        return there, 1 - there
    pair = opened.weights.pair
    sources = pair.sources[leg].values()
    groups = [sorted(each.parts) for each in sources if isinstance(each.slice, AssembledSlice)]
    if groups:
        raise ExportError(
            "--format mergekit: mergekit fuses tensors before it merges them, so a schedule on "
            f"the checkpoint's names, or a slerp, cannot be given to it:\n{listed(groups[0])}\n"
            "Export the model itself, --format hf."
        )
    lams = opened.weights.per_tensor(lam)
    ends = opened.weights.ends
    shares = {
        next(iter(pair.sources[leg][name].parts)): arc(
            angle(*ends(name, leg)) if slerp else 0.0, place(lams[name], pair.legs)[1]
        )
        for name in lams
    }
    # A filter matches the names that contain it: the longest come first.
    ordered = sorted(shares, key=lambda key: (-len(key), key))
    base, instruct = ([{"filter": k, "value": shares[k][side]} for k in ordered] for side in (0, 1))
    return instruct, base


def write_adapter(opened: Opened, folder: Path) -> str:
    """Write the adapter of a LoRA pair with λ in its α; its factors are copied.

    Scaling α scales ΔW = (α/r) B A, and so is exact where peft's arithmetic is.

    Returns:
        What it is.

    Raises:
        ExportError: the pair's instruct side is no adapter.
    """
    if not opened.args.peft or opened.args.method != "linear":
        raise ExportError(
            "--format adapter is for LoRA pairs (peft=) and method=linear: only there is θ_λ the "
            "base and a scaled adapter. Use --format hf."
        )
    adapter = opened.weights.pair.instruct
    settings = dict(adapter.read_json("adapter_config.json"))
    lam = opened.args.lam
    if isinstance(lam, Schedule):
        settings["alpha_pattern"] = _alphas(opened, settings)
    else:
        settings["lora_alpha"] = settings["lora_alpha"] * lam
        patterns = settings.get("alpha_pattern") or {}
        settings["alpha_pattern"] = {name: alpha * lam for name, alpha in patterns.items()}
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    with new_folder(folder) as working:
        copy_files(adapter.folder, working, ("adapter_model.*", "README.md", "LICENSE*", "NOTICE*"))
        (working / "adapter_config.json").write_text(text, encoding="utf-8")
    return "The adapter with λ in its α, for the base of the pair."


def _alphas(opened: Opened, settings: dict[str, Any]) -> dict[str, float]:
    """α·λ of every adapted module, by its full name."""
    pair = opened.weights.pair
    lams = opened.weights.per_tensor(opened.args.lam)
    rank_stabilised = settings.get("use_rslora")
    alphas = {}
    adapter = read_adapter(pair.instruct)
    found = places(adapter, pair.model)
    odd = [
        m for m, (name, _) in found.items() if name not in lams or adapter.deltas[m].left.dim() > 2
    ]
    odd += [module for module in found if "base_layer" in module]
    if odd:
        raise ExportError(
            f"--format adapter: a schedule cannot be told apart in α for experts:\n{listed(odd)}\n"
            "Use --format hf."
        )
    for module, delta in adapter.deltas.items():
        rank = delta.right.shape[0]
        alpha = delta.scaling * (rank**0.5 if rank_stabilised else rank)
        alphas[module] = alpha * lams[found[module][0]]
    return alphas
