"""Between host and device: little arrays in one copy, and values that come back later.

On an accelerator nothing here waits but `Later.get`, for what was asked of the device before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray[Any, np.dtype[Any]]


def uploaded(arrays: Sequence[Array], device: torch.device) -> list[torch.Tensor]:
    """Integer arrays of any shapes as int64 tensors on the device."""
    whole = torch.from_numpy(np.concatenate([each.ravel() for each in arrays]).astype(np.int64))
    if device.type == "cuda":
        whole = whole.pin_memory().to(device, non_blocking=True)
    else:
        whole = whole.to(device)
    parts = torch.split(whole, [each.size for each in arrays])
    return [part.view(each.shape) for part, each in zip(parts, arrays, strict=True)]


class Later:
    """A tensor of the device that is on its way to the host."""

    def __init__(self, values: torch.Tensor) -> None:
        self._event: Any = None
        if values.device.type == "cuda":
            self._host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._host.copy_(values, non_blocking=True)
            self._event = torch.Event(values.device)
            self._event.record()
        else:
            self._host = values.to("cpu", copy=True)

    def get(self) -> Array:
        """The values; waits until they are there."""
        if self._event is not None:
            self._event.synchronize()
        found: Array = self._host.numpy()
        return found
