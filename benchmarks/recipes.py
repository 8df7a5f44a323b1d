"""``pa-harness export --format mergekit``, merged by mergekit: the weights of ours?

``python -m benchmarks.recipes``: the real pair, and a tiny one whose ends are far apart.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.support.measure import measured
from benchmarks.support.mergekit_environment import MERGEKIT, mergekit_python
from benchmarks.support.places import cache_folder
from benchmarks.support.real_pair import add_options, real_pair
from benchmarks.support.report import publish, table
from benchmarks.support.synthetic import far_pair
from pa_harness.checkpoints.checkpoint import Checkpoint
from pa_harness.cli.main import main as pa_harness
from pa_harness.weights.opening import open_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.checkpoints.slices import Slice
    from pa_harness.weights.opening import Opened

_SCHEDULE = {
    "base": 0.6,
    "rules": [{"module": "v", "lam": 0.9}, {"module": "mlp", "lam": {"linear": [0.2, 0.6]}}],
}
_OWN = "slerp, λ = 0.3, by mergekit's own slerp"  # which our YAML does not use
_TRIM = {"method": "trim", "density": 0.2}
_CASES: dict[str, dict[str, Any]] = {
    "linear, λ = 0.3": {"lam": 0.3},
    "linear, schedule": {"lam": _SCHEDULE},
    "slerp, λ = 0.3": {"lam": 0.3, "method": "slerp"},
    _OWN: {"lam": 0.3, "method": "slerp"},
    "slerp, schedule": {"lam": _SCHEDULE, "method": "slerp"},
    "trim, λ = 0.3": {"lam": 0.3, **_TRIM},
    "trim, schedule": {"lam": _SCHEDULE, **_TRIM},
}


def main(given: argparse.Namespace) -> None:
    """Measure, and publish the table."""
    pair = real_pair(given)
    far = [str(folder) for folder in far_pair()]
    rows = []
    for label, ends in (("tiny, far apart", far), ("real", [pair.base, pair.instruct])):
        for case, options in _CASES.items():
            arguments = {"pretrained": ends[0], "instruct": ends[1], "dtype": "float32", **options}
            with tempfile.TemporaryDirectory(dir=cache_folder()) as name:
                recipe = Path(name) / "recipe" / "mergekit.yaml"
                (_write_slerp if case == _OWN else _export)(arguments, recipe)
                rows.append([label, case, *_compared(arguments, recipe)])
            print(rows[-1], flush=True)
    head = ("pair", "θ_λ", "tensors", "same names", "ties", "max difference", "relative")
    about = "; ".join(pair.description.splitlines())
    text = (
        f"mergekit {MERGEKIT}, fp32, on the YAML of `export --format mergekit`, against the "
        "tensors that `export` writes. The schedule has numbers by module and layer; trim keeps "
        "a fifth. Ties: weights whose Δ is exactly at trim's limit; ours keeps all of them, "
        "mergekit as many as fill the fifth, which ones is left to its sort; they are not "
        "compared. mergekit's own slerp is a lerp where cos Ω > 0.9995, as in the real pair. "
        f"Relative: to the tensor's largest weight. Real: {about}."
    )
    publish("recipes", f"{text}\n\n{table(head, rows)}", command="python -m benchmarks.recipes")


def _export(arguments: dict[str, Any], recipe: Path) -> None:
    given, folder = json.dumps(arguments), str(recipe.parent)
    if pa_harness(["export", "--model_args", given, "-o", folder, "--format", "mergekit"]):
        raise SystemExit("no recipe")


def _write_slerp(arguments: dict[str, Any], recipe: Path) -> None:
    sides = [{"model": arguments[side]} for side in ("instruct", "pretrained")]
    content = {
        **{"merge_method": "slerp", "base_model": arguments["pretrained"], "models": sides},
        **{"parameters": {"t": arguments["lam"]}, "dtype": "float32"},
    }
    recipe.parent.mkdir()
    recipe.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML


def _compared(arguments: dict[str, Any], recipe: Path) -> list[str]:
    """Tensors, how many have the same name, ties, the largest difference, and relative."""
    merged = recipe.with_name("merged")
    worker = ("benchmarks.support.mergekit_worker", "follow", str(recipe), str(merged))
    measured(*worker, python=mergekit_python())
    opened = open_weights(arguments)
    lams = opened.weights.per_tensor(opened.args.lam)
    theirs = Checkpoint(str(merged), "merged", merged).tensors
    both = sorted(lams.keys() & theirs.keys())
    ties, apart, relative = 0, 0.0, 0.0
    for key in both:
        ours = opened.weights.tensor(key, lams[key], torch.float32)
        away = (ours - theirs[key][...]).abs_().flatten()
        if "density" in arguments:
            tied = _tied(*(side[key] for side in _ends(opened)), arguments["density"])
            ties += int(tied.sum())
            away[tied] = 0
        apart = max(apart, float(away.max()))
        relative = max(relative, float(away.max() / ours.abs().max().clamp(min=1e-30)))
    count = len(lams.keys() | theirs.keys())
    return [str(count), f"{len(both)}/{count}", str(ties), f"{apart:.2g}", f"{relative:.2g}"]


def _ends(opened: Opened) -> tuple[Mapping[str, Slice], Mapping[str, Slice]]:
    base, instruct = opened.weights.pair.slices
    return base, instruct


def _tied(base: Slice, instruct: Slice, density: float) -> torch.Tensor:
    """Which elements have the smallest magnitude of Δ that stays; none where Δ = 0."""
    size = (instruct[...].float() - base[...].float()).abs_().flatten()
    limit = size.kthvalue(size.numel() - int(density * size.numel()) + 1).values
    return (size == limit) & (limit > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    main(parser.parse_args())
