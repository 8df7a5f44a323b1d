"""The attention of a pass: its tokens against the path, and against their own subtrees.

Shapes: h heads of keys, g heads of queries to each of them, d the size of a head, n tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pa_harness.prefixes.attention.kernels import attend, blocked, join
from pa_harness.prefixes.transfer import uploaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pa_harness.prefixes.attention.kernels import Part
    from pa_harness.prefixes.attention.tiles import Layout
    from pa_harness.prefixes.attention.tree import Asked, Layer
    from pa_harness.prefixes.passes import Pass

_BAND = 1024  # rows of masked attention to the path that are computed at a time


class PassAttention:
    """Work of one forward pass over the tokens of a layout.

    Attributes:
        tokens: their ids, int64, [1, n]; behind them 0 up to the shape that was asked for.
        positions: their positions, [1, n].
        reading: the tokens that are read, each once, [r]; the first one if none is.
        read: of which of these each want of the layout's tokens is, on the host, [w].
        rows, targets: `read`, and the token ids whose probabilities are wanted, on the device.
    """

    def __init__(self, part: Pass, laid: Layout, size: int, device: torch.device) -> None:
        """Bring what the pass is made of to the device, in one copy.

        Args:
            part: the pass.
            laid: the layout of its tokens, or of some.
            size: tokens that the model gets; those behind the layout's stand for nothing.
            device: where the model expects its tokens.
        """
        self._part, self._laid = part, laid
        begin, end = laid.begin, laid.end
        spare = size - (end - begin)
        inside = slice(*np.searchsorted(part.reading, [begin, end]))
        reading, self.read = np.unique(part.reading[inside] - begin, return_inverse=True)
        at = [each for group in laid.groups for each in (group.queries, group.keys)]
        arrays: list[np.ndarray[Any, Any]] = [
            np.pad(part.tokens[begin:end], (0, spare)),
            np.pad(part.positions[begin:end], (0, spare)),
            reading if len(reading) else np.zeros(1),
            self.read,
            part.targets[inside],
            part.positions,
            np.append(part.sees, 0),
            np.append(part.stop, 0),
            laid.back,
        ]
        tokens, positions, self.reading, self.rows, self.targets, *rest = uploaded(
            [*arrays, *at], device
        )
        self.tokens, self.positions = tokens[None], positions[None]
        self._position, self._sees, self._stop, self._back, *tiles = rest
        self._tiles = list(zip(tiles[::2], tiles[1::2], strict=True))
        if self._tiles:
            keys = torch.cat([each.flatten() for each in tiles[1::2]])
            self._slots = keys.clamp(max=len(part.tokens) - 1) + part.kept
            self._queries = torch.cat([each.flatten() for each in tiles[::2]])
            self._queries -= begin + laid.path
        self._masks: dict[object, torch.Tensor] = {}

    def store(self, layer: Layer, key: torch.Tensor, value: torch.Tensor) -> None:
        """Keep the tokens' keys and values, [h, n, d] each, in their slots."""
        count, begin = self._laid.end - self._laid.begin, self._part.kept + self._laid.begin
        layer.slots[0, :, begin : begin + count] = key[:, :count]
        layer.slots[1, :, begin : begin + count] = value[:, :count]

    def attend(self, layer: Layer, query: torch.Tensor, asked: Asked) -> torch.Tensor:
        """Attention of queries [h, g, n, d]; the output has their shape."""
        laid = self._laid
        count, path = laid.end - laid.begin, laid.path
        parts = []
        if path:
            parts.append(self._on_path(layer, query[:, :, :path], asked))
        if path < count:
            parts.append(self._hung(layer, query[:, :, path:count], asked))
        if count < query.shape[2]:
            parts.append(torch.zeros_like(query[:, :, count:]))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 2)

    def _on_path(self, layer: Layer, query: torch.Tensor, asked: Asked) -> torch.Tensor:
        """Of the tokens that lengthen the path."""
        kept, path, window = self._laid.kept, self._laid.path, asked.window
        if window is None or kept + path <= window:
            parts = [attend(query, *layer.between(kept, kept + path), asked.score, causal=True)]
            if kept:
                parts.append(attend(query, *layer.between(0, kept), asked.score))
            return join(parts, asked.sinks)
        found = []
        for low in range(0, path, _BAND):
            high = min(low + _BAND, path)
            first, end = max(0, kept + low - window + 1), kept + high
            rows = range(self._laid.begin + low, self._laid.begin + high)
            mask = self._mask("path", rows, first, end, window, query.dtype)
            slots = layer.between(first, end)
            found.append(attend(query[:, :, low:high], *slots, asked.score, mask))
        return join([_beside(found)], asked.sinks)

    def _hung(self, layer: Layer, query: torch.Tensor, asked: Asked) -> torch.Tensor:
        """Of the tokens of subtrees."""
        parts = [self._own(layer, query, asked)]
        above = None
        for low, high, first, end, mask in self._in_sight(asked.window, query.dtype):
            found = attend(query[:, :, low:high], *layer.between(first, end), asked.score, mask)
            if (low, high) == (0, query.shape[2]):
                above = found
                break
            if above is None:
                nothing = query.new_full(query.shape[:3], -torch.inf, dtype=found[1].dtype)
                above = torch.zeros_like(query), nothing
            above[0][:, :, low:high], above[1][:, :, low:high] = found
        return join([*parts, above] if above else parts, asked.sinks)

    def _in_sight(
        self, window: int | None, dtype: torch.dtype
    ) -> Iterator[tuple[int, int, int, int, torch.Tensor | None]]:
        """Of the path: tokens [low, high), slots [first, end) that they see, and a mask or None."""
        start = self._laid.begin + self._laid.path
        for each in self._laid.rectangles:
            positions = self._part.positions[start + each.low : start + each.high]
            near = window is None or int(positions.max()) < window
            if near and not each.ragged:
                yield each.low, each.high, 0, each.sees, None
                continue
            for low in range(each.low, each.high, _BAND):
                high = min(low + _BAND, each.high)
                lowest = int(self._part.positions[start + low : start + high].min())
                first = 0 if window is None else max(0, lowest - window + 1)
                if first < each.sees:
                    rows = range(start + low, start + high)
                    mask = self._mask("hung", rows, first, each.sees, window, dtype)
                    yield low, high, first, each.sees, mask

    def _own(self, layer: Layer, query: torch.Tensor, asked: Asked) -> Part:
        """Against their own subtrees, tile by tile."""
        h, g, _, d = query.shape
        queries = query.index_select(2, self._queries)
        keys, values = layer.slots.index_select(2, self._slots)
        found, row, slot = [], 0, 0
        for at, seen in self._tiles:
            (b, t), wide = at.shape, seen.shape[1]
            rows = queries[:, :, row : row + b * t].view(h, g, b, t, d).transpose(1, 2)
            span = slice(slot, slot + b * wide)
            out, lse = attend(
                rows.reshape(h, b, g * t, d),
                keys[:, span].view(h, b, wide, d),
                values[:, span].view(h, b, wide, d),
                asked.score,
                self._mask_of_tiles(at, seen, g, asked.window, query.dtype),
            )
            out = out.reshape(h, b, g, t, d).transpose(1, 2).reshape(h, g, b * t, d)
            lse = lse.reshape(h, b, g, t).transpose(1, 2).reshape(h, g, b * t)
            found.append((out, lse))
            row, slot = row + b * t, slot + b * wide
        out, lse = _beside(found)
        return out.index_select(2, self._back), lse.index_select(2, self._back)

    def _mask_of_tiles(
        self, at: torch.Tensor, seen: torch.Tensor, g: int, window: int | None, dtype: torch.dtype
    ) -> torch.Tensor:
        """[1, B, g·T, L]: a token sees those before it that it descends from, and itself."""

        def make() -> torch.Tensor:
            query, key = at[:, :, None], seen[:, None]
            own = (key <= query) & (query < self._stop[key])
            if window is not None:
                last = len(self._position) - 1
                own &= self._position[query] - self._position[key.clamp(max=last)] < window
            return own.repeat(1, g, 1)[None]

        return self._kept((id(at), g, window, dtype), make, dtype)

    def _mask(
        self, kind: str, rows: range, first: int, end: int, window: int | None, dtype: torch.dtype
    ) -> torch.Tensor:
        """[1, 1, rows, slots] of the path's slots [first, end)."""

        def make() -> torch.Tensor:
            some = slice(rows.start, rows.stop)
            slots = torch.arange(first, end, device=self._sees.device)
            seen = slots < self._sees[some, None]
            if window is not None:
                seen &= self._position[some, None] - slots < window
            return seen[None, None]

        return self._kept((kind, rows.start, first, window, dtype), make, dtype)

    def _kept(
        self, name: object, make: Callable[[], torch.Tensor], dtype: torch.dtype
    ) -> torch.Tensor:
        """A mask, made once for all layers that are alike."""
        if name not in self._masks:
            self._masks[name] = blocked(make(), dtype)
        return self._masks[name]


def _beside(parts: Sequence[Part]) -> Part:
    """Parts of other rows, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([out for out, _ in parts], 2), torch.cat([lse for _, lse in parts], 2)
