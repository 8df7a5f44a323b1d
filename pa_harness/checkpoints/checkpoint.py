"""A checkpoint as named tensors, read lazily from its memory-mapped files."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open

from pa_harness.checkpoints.slices import FileSlice, TensorSlice
from pa_harness.checkpoints.stamps import Stamps, stamps
from pa_harness.errors import CheckpointError, first_line, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.checkpoints.slices import Slice

LAYOUTS = (  # in transformers' order of preference; never a glob (repositories ship duplicates)
    ("model.safetensors.index.json", True),
    ("model.safetensors", False),
    ("pytorch_model.bin.index.json", True),
    ("pytorch_model.bin", False),
)


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint folder.

    Attributes:
        name: the hub id or folder as the user gave it.
        role: what it is here, as messages say it: "base", "instruct", "peft" (an adapter), …
        folder: where its files are.
        revision: the revision asked for, None for the default or a local folder.
        commit: the resolved commit hash; None for a local folder.
        subfolder: the part of `folder` below the repository or folder that `name` names.
        stamps: of its files of weights (see `stamps`), before anything of them is read.
    """

    name: str
    role: str
    folder: Path
    revision: str | None = None
    commit: str | None = None
    subfolder: str = ""
    stamps: Stamps = field(init=False, repr=False, compare=False)
    _files: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stamps", stamps(self.folder))

    def __str__(self) -> str:
        """The role and name, as messages give them."""
        return f"{self.role} {self.name!r}"

    @cached_property
    def slices(self) -> Mapping[str, Slice]:
        """Checkpoint key -> lazy tensor, over all shards; buffers of old releases left out.

        Raises:
            CheckpointError: no weights, a shard missing, truncated or unreadable, an index that
                disagrees with its shards, or a tensor of a quantised dtype.
        """
        for layout, is_index in LAYOUTS:
            path = self.folder / layout
            if path.is_file():
                slices = self._sharded(path) if is_index else self._opened(path)
                slices = {key: s for key, s in slices.items() if not _is_old_buffer(key, s)}
                self._check_dtypes(slices)
                return slices
        found = sorted(p.name + "/" * p.is_dir() for p in self.folder.iterdir()) or ["nothing"]
        raise CheckpointError(
            f"{self} has no weights that transformers would load.\nExpected one of: "
            f"{', '.join(name for name, _ in LAYOUTS)}\nFound in {self.folder}:\n{listed(found)}"
        )

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the checkpoint; {} when there is none.

        Raises:
            CheckpointError: the file is not a JSON object.
        """
        path = self.folder / name
        try:
            if not path.is_file():
                return {}
            content = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError) as error:
            raise CheckpointError(
                f"{self}: {path} cannot be read as JSON: {error}. Restore or re-download it."
            ) from error
        if not isinstance(content, dict):
            raise CheckpointError(
                f"{self}: {path} holds a {type(content).__name__}, not an object. Restore it."
            )
        return content

    def _sharded(self, index: Path) -> dict[str, Slice]:
        weight_map = self.read_json(index.name).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(f"{self}: {index} has no weight_map. Restore or re-download it.")
        files = sorted({str(name) for name in weight_map.values()})
        present = {path.name for path in self.folder.iterdir() if path.is_file()}
        missing = [name for name in files if name not in present]  # "../x" is not in the folder
        if missing:
            raise CheckpointError(
                f"{self}: {len(missing)} of {len(files)} shards named by {index.name} are missing "
                f"in {self.folder}:\n{listed(missing)}\nDownload the checkpoint again."
            )
        shards = {name: self._opened(self.folder / name) for name in files}
        absent = [key for key, name in weight_map.items() if key not in shards[str(name)]]
        if absent:
            raise CheckpointError(
                f"{self}: {len(absent)} tensors are not in the shard that {index.name} names:\n"
                f"{listed(absent)}\nDownload the checkpoint again."
            )
        return {key: shards[str(name)][key] for key, name in weight_map.items()}

    def _opened(self, path: Path) -> dict[str, Slice]:
        try:
            if path.suffix == ".bin":
                return _pickled(path)
            handle: Any = safe_open(path, framework="pt", device="cpu")
            self._files[path.name] = handle  # keeps the mapping alive
            keys = handle.keys()  # no iterator of its own in older releases
            return {key: FileSlice(handle.get_slice(key)) for key in keys}
        except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
            raise CheckpointError(
                f"{self}: {path} cannot be read: {first_line(error)}.\n"
                "Is it whole, and may you read it? Download it again, or check its permissions."
            ) from error

    def _check_dtypes(self, slices: Mapping[str, Slice]) -> None:
        dtypes = {key: tensor.dtype for key, tensor in slices.items()}
        one_byte = [key for key in dtypes if dtypes[key].itemsize == 1]
        packed = [f"{key}: {dtypes[key]}" for key in one_byte if dtypes[key] is not torch.bool]
        if packed:
            raise CheckpointError(
                f"{self} holds {len(packed)} tensors of a quantised dtype:\n{listed(packed)}\n"
                "Interpolating quantised values is meaningless. Use the unquantised checkpoint."
            )

    def content(self, checksums: Mapping[str, int]) -> str:
        """A digest of the weights: names, dtypes, shapes and values.

        Args:
            checksums: per checkpoint key, `checksum` of the tensor.
        """
        lines = [
            f"{key} {self.slices[key].dtype} {self.slices[key].get_shape()} {checksums[key]}"
            for key in sorted(checksums)
        ]
        return "content-" + hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def checksum(tensor: torch.Tensor) -> int:
    """XXH3-128 of the tensor's bytes, whatever moved within it; memory speed (0.1 s per GB).

    Not cryptographic: it tells what happened by accident, not what was forged.
    """
    return xxhash.xxh3_128_intdigest(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no element is NaN or infinite; one pass, nothing allocated."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    low, high = torch.aminmax(tensor)  # both are NaN as soon as one element is
    return bool(torch.isfinite(low) and torch.isfinite(high))


def _pickled(path: Path) -> dict[str, Slice]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever unpickling met, the cure is the same
        why = first_line(error).split(". ")[0]  # torch goes on to recommend weights_only=False
        cure = "convert the checkpoint to safetensors"
        raise ValueError(f"{why} (weights_only=True, and nothing else: {cure})") from error
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())):
        raise ValueError(f"it holds a {type(content).__name__}, not only named tensors")
    return {key: TensorSlice(value) for key, value in content.items()}


def _is_old_buffer(key: str, tensor: Slice) -> bool:
    """Masks and frequencies that old releases saved and today's compute from the configuration."""
    if key.endswith("rotary_emb.inv_freq"):
        return True
    is_mask = re.search(r"\.(attn|attention)\.(masked_)?bias$", key) is not None
    return is_mask and len(tensor.get_shape()) in (0, 4)
