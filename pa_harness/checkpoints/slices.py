"""A tensor that is read when indexed, so that no more than the part asked for is in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Slice(Protocol):
    """A tensor read when indexed: ``slice[...]`` is all of it, ``slice[i:j]`` some rows."""

    dtype: torch.dtype

    @property
    def by_rows(self) -> bool:
        """Whether some rows cost about their share of the whole."""
        ...

    def get_shape(self) -> list[int]:
        """The full shape."""
        ...

    def __getitem__(self, index: Any) -> torch.Tensor:
        """The part asked for; it may share memory with the source, so do not write to it."""
        ...


class TensorSlice:
    """A tensor in memory, read like a slice of a file."""

    by_rows = True

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        self.dtype = tensor.dtype

    def get_shape(self) -> list[int]:
        """The full shape."""
        return list(self.tensor.shape)

    def __getitem__(self, index: Any) -> torch.Tensor:
        """A view of the tensor."""
        return self.tensor[index]


_FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class FileSlice:
    """A safetensors slice with a torch dtype; what is read is a view of the mapped file."""

    by_rows = True

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._shape: list[int] = list(raw.get_shape())
        self.dtype: torch.dtype = _FLOATS.get(raw.get_dtype()) or raw[...].dtype

    def get_shape(self) -> list[int]:
        """The full shape."""
        return self._shape

    def __getitem__(self, index: Any) -> torch.Tensor:
        """The part asked for."""
        tensor: torch.Tensor = self._raw[index]
        return tensor


class ComputedSlice:
    """A slice made of others, computed for the part read.

    A subclass has `rows`; or, where any part can be computed by itself, its own `__getitem__`.
    """

    by_rows = True

    def __init__(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> None:
        self._shape, self.dtype = list(shape), dtype

    def get_shape(self) -> list[int]:
        """The full shape."""
        return self._shape

    def __getitem__(self, index: Any) -> torch.Tensor:
        """The part asked for, freshly computed."""
        if index is ... or isinstance(index, slice):
            return self.rows(index)
        if isinstance(index, tuple) and index and isinstance(index[0], slice):
            columns = (slice(None), *index[1:])
            return self.rows(index[0])[columns]
        return self.rows(...)[index]

    def rows(self, index: Any) -> torch.Tensor:
        """A range of rows, or all of them (``...``)."""
        raise NotImplementedError


class LongerSlice(ComputedSlice):
    """The shorter embedding, continued by the longer side's extra rows."""

    def __init__(self, shorter: Slice, longer: Slice) -> None:
        dtype = torch.promote_types(shorter.dtype, longer.dtype)
        super().__init__(longer.get_shape(), dtype)
        self._shorter, self._longer = shorter, longer

    def rows(self, index: Any) -> torch.Tensor:
        """Rows of either side; a copy."""
        known = self._shorter.get_shape()[0]
        start, stop, _ = (slice(None) if index is ... else index).indices(self.get_shape()[0])
        parts = []
        if start < known:
            parts.append(self._shorter[start : min(stop, known)])
        if stop > known:
            parts.append(self._longer[max(start, known) : stop])
        return torch.cat(parts).to(self.dtype)


def held(source: Slice) -> Slice:
    """The slice itself, or where its rows cannot be read one by one, all of it in memory."""
    return source if source.by_rows else TensorSlice(source[...])


def equal_values(ours: Mapping[str, Slice], theirs: Mapping[str, Slice]) -> bool:
    """Whether two checkpoints hold the same; as a rule the first tensors tell them apart."""
    for name, one in ours.items():
        other = theirs[name]
        dtype = torch.promote_types(one.dtype, other.dtype)
        if not torch.equal(one[...].to(dtype), other[...].to(dtype)):
            return False
    return True
