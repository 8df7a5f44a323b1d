"""Chunks as short as rows, where transformers' own arithmetic fills every row up to a whole chunk.

Mamba-2 and the gated delta rule are computed in chunks, whose length changes nothing but the order
of operations. Without kernels a row of 8 tokens costs what a chunk of 64 or 256 does.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_DELTA = "torch_chunk_gated_delta_rule"  # the name by which the layers' modules know it; 64 a chunk
_DELTA_CHUNK, _SHORTEST = 64, 8  # tokens


@contextmanager
def short_chunks(model: Any, length: int) -> Iterator[None]:
    """While it lasts chunks on a CPU are no longer than rows of so many tokens need."""
    size = max(_SHORTEST, 1 << (length - 1).bit_length())
    if model.device.type != "cpu":  # kernels choose their own
        size = sys.maxsize
    layers = [each for each in model.modules() if hasattr(each, "A_log")]
    modules = {sys.modules[type(layer).__module__] for layer in layers}
    with ExitStack() as stack:
        for layer in layers:
            before = getattr(layer, "chunk_size", None)
            if isinstance(before, int) and before > size:
                stack.callback(setattr, layer, "chunk_size", before)
                layer.chunk_size = size
        for module in modules:
            rule = getattr(module, _DELTA, None)
            if rule is not None and size < _DELTA_CHUNK:
                stack.callback(setattr, module, _DELTA, rule)
                setattr(module, _DELTA, partial(rule, chunk_size=size))
        yield
