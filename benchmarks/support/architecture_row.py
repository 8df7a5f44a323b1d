"""One model type: make a tiny pair of it, and hold pa-harness against plain transformers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
import transformers
from lm_eval.api.registry import get_model

from benchmarks.support.tiny_models import (
    saved_class,
    text_config,
    tiny_config,
    tiny_model,
    wrapped_pairs,
)
from pa_harness.export.evaluated import Evaluated
from pa_harness.export.model import export_model
from pa_harness.weights.opening import open_weights

if TYPE_CHECKING:
    from pathlib import Path

LAM = 0.3
Tensors = dict[str, torch.Tensor]
COLUMNS = ("loads", "ends", "lerp", "set_lam", "export")


def make(name: str, kind: str, folder: Path, tokenizer: Any) -> tuple[Path, Path]:
    """Folders of base and instruct; of a mixed pair the base is the text model alone."""
    config = tiny_config(wrapped_pairs()[name][0] if kind == "mixed" else name)
    whole = saved_class(config.model_type, config)
    for side, seed in (("base", 1), ("instruct", 2)):
        made = (whole, config)
        if kind == "mixed" and side == "base":
            made = text_config(config, wrapped_pairs()[name][1])
        tiny_model(*made, seed=seed).save_pretrained(folder / side)
        tokenizer.save_pretrained(folder / side)
    return folder / "base", folder / "instruct"


def row(pair: tuple[Path, Path], kind: str) -> dict[str, str]:
    """What holds of a pair, by `COLUMNS`: "yes", or what is the matter."""
    found = dict.fromkeys(COLUMNS, "")
    try:
        lm = _adapted(pair, LAM)
    except Exception as error:  # noqa: BLE001 -- every failure is a row
        return found | {"loads": f"{type(error).__name__}: {str(error)[:200]}"}
    found["loads"] = "yes"
    names = list(lm.model.state_dict())
    ends = [_plain(side, type(lm.model), names, kind) for side in pair]
    middle = {
        name: torch.lerp(*(end[name] for end in ends), LAM)
        if ends[0][name].is_floating_point()
        else ends[0][name]
        for name in names
    }
    found["lerp"] = _apart(lm.model.state_dict(), middle)
    found["ends"] = "; ".join(
        {_apart(_adapted(pair, lam).model.state_dict(), ends[lam]) for lam in (0, 1)}
    )
    odd = []
    for lam, expected in ((0, ends[0]), (1, ends[1]), (LAM, middle)):
        lm.set_lam(lam)
        odd.append(_apart(lm.model.state_dict(), expected))
    found["set_lam"] = "; ".join(set(odd))
    try:
        found["export"] = _exported(pair, type(lm.model), middle, kind)
    except Exception as error:  # noqa: BLE001 -- likewise
        found["export"] = f"{type(error).__name__}: {str(error)[:200]}"
    return found


def _adapted(pair: tuple[Path, Path], lam: float) -> Any:
    arguments = {"pretrained": str(pair[0]), "instruct": str(pair[1]), "lam": lam}
    return get_model("partially_adapted")(**arguments, dtype="float32", device="cpu")


def _exported(pair: tuple[Path, Path], cls: type[Any], middle: Tensors, kind: str) -> str:
    """Whether the export reads back as θ_λ in its own class."""
    folder = pair[0].parent / "export"
    arguments = {"pretrained": str(pair[0]), "instruct": str(pair[1]), "lam": LAM}
    export_model(open_weights(arguments | {"dtype": "float32"}), folder, 10**9, Evaluated())
    return _apart(_plain(folder, cls, list(middle), kind), middle)


def _plain(folder: Path, cls: type[Any], names: list[str], kind: str) -> Tensors:
    """What transformers itself makes of a folder, under the names of a class."""
    own = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0]
    if own == cls.__name__ or kind != "mixed":
        alone, info = cls.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        if not info["missing_keys"]:  # one class reads the other's files
            return alone.state_dict()
    model = getattr(transformers, own).from_pretrained(folder, dtype=torch.float32)
    state: Tensors = model.state_dict()
    path = next(
        n for n, each in model.named_modules() if n.endswith(("language_model", "text_model"))
    )
    inner = {k.removeprefix(f"{path}."): v for k, v in state.items() if k.startswith(f"{path}.")}
    inner = {k.removeprefix("model."): v for k, v in inner.items()}
    head = model.get_output_embeddings().weight
    return {n: inner.get(n.removeprefix("model."), head if "lm_head" in n else None) for n in names}


def _apart(ours: Tensors, theirs: Tensors) -> str:
    odd = [n for n in ours.keys() | theirs.keys() if not _same(ours.get(n), theirs.get(n))]
    return f"{len(odd)} of {len(theirs)} differ, {min(odd)}" if odd else "yes"


def _same(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> bool:
    return ours is not None and theirs is not None and torch.equal(ours, theirs)
