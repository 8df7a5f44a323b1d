"""Ways to break a checkpoint folder: each takes the folder (or both) and changes files in place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.api.registry import get_model
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from through_lm_eval import Pair

NORM = "model.norm.weight"
HEAD = "lm_head.weight"
QUERY = "model.layers.0.self_attn.q_proj.weight"


def copy(pair: tuple[Path, Path], folder: Path) -> tuple[Path, Path]:
    """A pair that may be broken."""
    base, instruct = (folder / side.name for side in pair)
    shutil.copytree(pair[0], base)
    shutil.copytree(pair[1], instruct)
    return base, instruct


def snapshot(folder: Path) -> dict[str, Any]:
    """Every path below the folder with its content's digest and time of change."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        content = None
        if path.is_file() and os.access(path, os.R_OK):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = (content, path.lstat().st_mtime_ns)
    return found


def weights(**changes: Any) -> Callable[[Path], None]:
    """Replace tensors of model.safetensors by a function of the old one, or take them away (None).

    A new tensor's function gets None.
    """
    names = {"norm": NORM, "head": HEAD, "query": QUERY, "extra": "model.extra.weight"}
    names["embedding"] = "model.embed_tokens.weight"

    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        for name, function in changes.items():
            value = None if function is None else function(tensors.get(names[name]))
            tensors.pop(names[name], None)
            if value is not None:
                tensors[names[name]] = value.contiguous()
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def filled(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """One element set to the value."""

    def fill(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[3] = value
        return tensor

    return fill


def to_bin(content: Any = None) -> Callable[[Path], None]:
    """pytorch_model.bin in the place of model.safetensors; other content on request."""

    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        torch.save(tensors if content is None else content, folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()

    return change


def settings(file: str = "config.json", **changes: Any) -> Callable[[Path], None]:
    """Change entries of a JSON file; None takes one away."""

    def change(folder: Path) -> None:
        path = folder / file
        content = json.loads(path.read_text()) if path.is_file() else {}
        content = {key: value for key, value in (content | changes).items() if value is not None}
        path.write_text(json.dumps(content))

    return change


def text(file: str, content: str | bytes) -> Callable[[Path], None]:
    """Overwrite a file."""

    def change(folder: Path) -> None:
        path = folder / file
        path.unlink(missing_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def cut(file: str, keep: float) -> Callable[[Path], None]:
    """Truncate a file to a fraction of its size."""

    def change(folder: Path) -> None:
        os.truncate(folder / file, int((folder / file).stat().st_size * keep))

    return change


def gone(*files: str) -> Callable[[Path], None]:
    """Remove files; every file for "*"."""

    def change(folder: Path) -> None:
        for pattern in files:
            for path in list(folder.glob(pattern)):
                path.unlink()

    return change


def directory(file: str) -> Callable[[Path], None]:
    """A folder where a file should be."""

    def change(folder: Path) -> None:
        (folder / file).unlink()
        (folder / file).mkdir()

    return change


def dangling(file: str) -> Callable[[Path], None]:
    """A link to nothing, as an interrupted download into the hub cache leaves."""

    def change(folder: Path) -> None:
        (folder / file).unlink()
        (folder / file).symlink_to(folder / "nothing")

    return change


def unreadable(file: str) -> Callable[[Path], None]:
    """No permission (not for root, who may read everything)."""

    def change(folder: Path) -> None:
        (folder / file).chmod(0)

    return change


def weight_map(**changes: str | None) -> Callable[[Path], None]:
    """Change the shards that the index names for keys."""

    def change(folder: Path) -> None:
        path = folder / "model.safetensors.index.json"
        content = json.loads(path.read_text())
        content["weight_map"] |= changes
        path.write_text(json.dumps(content))

    return change


def other_tokens(folder: Path) -> None:
    """The same number of ids for other tokens."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.get)[40:42]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def attempt(
    pair: tuple[Path, Path], folder: Path, sides: str, changes: list[Callable[[Path], None]]
) -> None:
    """Load a broken copy of the pair; the copy must still be what it was."""
    broken = copy(pair, folder)
    for side in broken if sides == "both" else [side for side in broken if side.name == sides]:
        for change in changes:
            change(side)
    before = snapshot(folder)
    try:
        get_model("partially_adapted")(
            pretrained=str(broken[0]), instruct=str(broken[1]), lam=0.5, device="cpu"
        )
    finally:
        assert snapshot(folder) == before


def copied(pair: Pair, folder: Path) -> Pair:
    for side in pair:
        (folder / side.name).mkdir(parents=True)
        for file in side.iterdir():
            (folder / side.name / file.name).write_bytes(file.read_bytes())
    return folder / "base", folder / "instruct"
