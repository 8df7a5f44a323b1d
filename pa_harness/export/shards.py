"""Write a checkpoint's safetensors files tensor by tensor: one tensor in memory at a time.

A safetensors file is the length of its header (8 bytes, little-endian), the header (JSON: name ->
dtype, shape and place in the data), and the data (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_NAMES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.bool: "BOOL"},
}
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Spec:
    """A tensor to be written."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return prod(self.shape) * self.dtype.itemsize


def plan_shards(specs: Mapping[str, Spec], limit: int) -> list[list[str]]:
    """The tensors of each file, in their order; a file is larger than `limit` for one tensor only.

    Args:
        specs: by name.
        limit: bytes per file.
    """
    files: list[list[str]] = [[]]
    filled = 0
    for key, spec in specs.items():
        if files[-1] and filled + spec.size > limit:
            files.append([])
            filled = 0
        files[-1].append(key)
        filled += spec.size
    return files


def write_checkpoint(
    folder: Path, specs: Mapping[str, Spec], limit: int, read: Callable[[str], torch.Tensor]
) -> None:
    """Write all tensors, and the index where there are several files.

    Args:
        folder: an existing one.
        specs: by name.
        limit: bytes per file.
        read: gives a tensor, as its spec says, when its turn comes.
    """
    files = plan_shards(specs, limit)
    places: dict[str, str] = {}
    for number, keys in enumerate(files, 1):
        name = f"model-{number:05d}-of-{len(files):05d}.safetensors"
        name = name if len(files) > 1 else "model.safetensors"
        _write_file(folder / name, keys, specs, read)
        places |= dict.fromkeys(keys, name)
    if len(files) > 1:
        total = sum(spec.size for spec in specs.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_file(
    path: Path, keys: Sequence[str], specs: Mapping[str, Spec], read: Callable[[str], torch.Tensor]
) -> None:
    # Wide dtypes first: then every tensor begins at a multiple of its element's size.
    ordered = sorted(keys, key=lambda key: (-specs[key].dtype.itemsize, key))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    place = 0
    for key in ordered:
        spec = specs[key]
        span = [place, place + spec.size]
        header[key] = {
            "dtype": _NAMES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": span,
        }
        place += spec.size
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for key in ordered:
            tensor = read(key)
            if (tensor.dtype, tuple(tensor.shape)) != (specs[key].dtype, specs[key].shape):
                raise ValueError(f"{key}: {tensor.dtype} {tuple(tensor.shape)}, not {specs[key]}")
            file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())
