"""How many bytes of tensors are alive at a time: what an allocator would have to give."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the storages that operations make while it lasts, and the most that lived at once.

    Attributes:
        now, most: bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        given = {_storage(each) for each in tree_leaves((args, kwargs)) if _is(each)}
        for each in tree_leaves(found):
            if _is(each) and _storage(each) not in given | self._seen:
                self._add(each.untyped_storage())
        return found

    def _add(self, storage: Any) -> None:
        size, name = storage.nbytes(), storage._cdata
        self._seen.add(name)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._forget, size, name)

    def _forget(self, size: int, name: int) -> None:
        self.now -= size
        self._seen.discard(name)


def _is(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _storage(value: torch.Tensor) -> int:
    return value.untyped_storage()._cdata
