"""A checkpoint as named tensors, read lazily from its memory-mapped files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

import torch
import xxhash
from safetensors import SafetensorError, safe_open

from pa_harness.checkpoints.slices import FileSlice, TensorSlice
from pa_harness.checkpoints.stamps import Stamps, stamps
from pa_harness.errors import CheckpointError, first_line, listed
from pa_harness.foreign.reading import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.checkpoints.slices import Slice

LAYOUTS = (  # in transformers' order of preference; never a glob (repositories ship duplicates)
    ("model.safetensors", False),
    ("model.safetensors.index.json", True),
    ("pytorch_model.bin", False),
    ("pytorch_model.bin.index.json", True),
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
    def tensors(self) -> Mapping[str, Slice]:
        """Key -> lazy tensor of the files that transformers would read, over all shards.

        As transformers, all that the shards hold counts, whatever the index says of single tensors;
        of a key in two shards the last one's.

        Raises:
            CheckpointError: no weights, or a shard missing, truncated or unreadable.
        """
        if not self._layouts:
            found = sorted(p.name + "/" * p.is_dir() for p in self.folder.iterdir()) or ["nothing"]
            raise CheckpointError(
                f"{self} has no weights that transformers would load.\nExpected one of: "
                f"{', '.join(name for name, _ in LAYOUTS)}\nFound in "
                f"{self.folder}:\n{listed(found)}"
            )
        layout, is_index = self._layouts[0]
        files = self._shards(layout) if is_index else [layout]
        return {key: tensor for file in files for key, tensor in self._opened(file).items()}

    @property
    def notes(self) -> list[str]:
        """What to warn of: weights in more than one form, of which one is used."""
        if len(self._layouts) < 2:
            return []
        used, *left = (name for name, _ in self._layouts)
        return [f"{self}: {used} is used, as transformers does; {', '.join(left)} is left."]

    @cached_property
    def _layouts(self) -> list[tuple[str, bool]]:
        """The forms of weights that are here, the one that transformers takes first."""
        explicit = self.read_json("config.json").get("transformers_weights")
        named = [(explicit, explicit.endswith(".json"))] if isinstance(explicit, str) else []
        return [each for each in (*named, *LAYOUTS) if self._is_inside(each[0])]

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the checkpoint; {} when there is none.

        Raises:
            CheckpointError: the file is not a JSON object.
        """
        path = self.folder / name
        try:
            if not path.is_file():
                return {}
            content = parse_json(path.read_bytes())
        except (ValueError, OSError) as error:
            raise CheckpointError(
                f"{self}: {path} cannot be read as JSON: {error}. It is broken, or not what its "
                "name says: take it from where the checkpoint came from."
            ) from error
        if not isinstance(content, dict):
            raise CheckpointError(
                f"{self}: {path} holds a {type(content).__name__}, not an object. Take it from "
                "where the checkpoint came from."
            )
        return content

    def _shards(self, index: str) -> list[str]:
        """The files that an index names, in transformers' order."""
        weight_map = self.read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(
                f"{self}: {self.folder / index} has no weight_map, so that it names no files. Take "
                "it from where the checkpoint came from."
            )
        files = sorted({str(name) for name in weight_map.values()})
        missing = [name for name in files if not self._is_inside(name)]
        if missing:
            raise CheckpointError(
                f"{self}: {len(missing)} of {len(files)} shards named by {index} are missing in "
                f"{self.folder}:\n{listed(missing)}\nCopy or download them as well; if the index "
                "is of an older save, remove it."
            )
        return files

    def _is_inside(self, name: str) -> bool:
        """Whether a file of that name is in the folder or below it."""
        path = Path(name)
        try:
            return (
                not path.is_absolute() and ".." not in path.parts and (self.folder / path).is_file()
            )
        except OSError:  # a name that is too long
            return False

    def _opened(self, name: str) -> dict[str, Slice]:
        path = self.folder / name
        try:
            if path.suffix == ".bin":
                return _pickled(path)
            handle: Any = safe_open(path, framework="pt", device="cpu")
            self._files[name] = handle  # keeps the mapping alive
            keys = handle.keys()  # no iterator of its own in older releases
            return {key: FileSlice(handle.get_slice(key)) for key in keys}
        except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
            raise CheckpointError(
                f"{self}: {path} cannot be read: {first_line(error)}.\n"
                "Is it whole, and may you read it? Copy or download it again, or check its "
                "permissions."
            ) from error

    def content(self, checksums: Mapping[str, int], slices: Mapping[str, Slice]) -> str:
        """A digest of the weights as a model has them: names, dtypes, shapes and values.

        Args:
            checksums: per parameter, `checksum` of its values.
            slices: per parameter, these.
        """
        lines = [
            f"{name} {slices[name].dtype} {slices[name].get_shape()} {checksums[name]}"
            for name in sorted(checksums)
        ]
        return "content-" + hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def checksum(tensor: torch.Tensor) -> int:
    """XXH3-128 of the tensor's bytes, whatever moved within it; memory speed (0.1 s per GB).

    Not cryptographic: it tells what happened by accident, not what was forged.
    """
    return xxhash.xxh3_128_intdigest(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no element is NaN or infinite; one pass; allocates for FP8 only."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.itemsize == 1:  # FP8
        tensor = tensor.float()
    low, high = torch.aminmax(tensor)  # both are NaN as soon as one element is
    return bool(torch.isfinite(low) and torch.isfinite(high))


def _pickled(path: Path) -> dict[str, Slice]:
    try:
        mapped = is_zipfile(path)  # not of the oldest releases
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # whatever unpickling met, the cure is the same
        why = first_line(error).split(". ")[0]  # torch goes on to recommend weights_only=False
        cure = "convert the checkpoint to safetensors"
        raise ValueError(f"{why} (weights_only=True, and nothing else: {cure})") from error
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())):
        raise ValueError(f"it holds a {type(content).__name__}, not only named tensors")
    return {key: TensorSlice(value) for key, value in content.items()}
