"""The attention of a step: one token for every row, against the shared path and its own pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pa_harness.prefixes.attention.kernels import attend, blocked, join, join_many
from pa_harness.prefixes.decoding.rows import PAGE

if TYPE_CHECKING:
    from pa_harness.prefixes.attention.tree import Asked, Layer
    from pa_harness.prefixes.decoding.rows import Rows


class RowAttention:
    """Work of a step of R rows. A page is attended to by its row only, all pages at once.

    Everything that changes from step to step lies on the device, so that a step can be captured.

    Attributes:
        positions: of the rows' tokens, [1, R].
    """

    def __init__(self, rows: Rows, shape: tuple[int, int, int], base: int) -> None:
        """Prepare a step.

        Args:
            rows: the rows.
            shape: rows, pages and most pages of a row, as `Rows.before_step` says.
            base: tokens of the shared path.
        """
        count, pages, most = shape
        self._base, self._shape = base, shape
        lengths = rows.lengths[:count]
        self._table = rows.table[:count, :most].flatten()
        self._page_row = rows.page_row[:pages].clamp(max=count - 1)
        place = rows.page_start[:pages, None] + torch.arange(PAGE, device=lengths.device)
        self.positions = (rows.base + lengths)[None]
        page = rows.table[:count].gather(1, (lengths // PAGE)[:, None])[:, 0]
        self._slot = page * PAGE + lengths % PAGE
        own = lengths[self._page_row, None]  # the token itself stands at its row's length
        self._far = own - place  # how far before the token each slot is, [pages, PAGE]
        self._seen = self._far >= 0
        self._masks: dict[object, torch.Tensor] = {}

    def store(self, layer: Layer, key: torch.Tensor, value: torch.Tensor) -> None:
        """Keep the rows' keys and values, [h, R, d] each, in their pages."""
        layer.own[0].index_copy_(1, self._slot, key)
        layer.own[1].index_copy_(1, self._slot, value)

    def attend(self, layer: Layer, query: torch.Tensor, asked: Asked) -> torch.Tensor:
        """Attention of [h, g, R, d]."""
        h, g, count, d = query.shape
        _, pages, most = self._shape
        keys, values = (each[:, : pages * PAGE].view(h, pages, PAGE, d) for each in layer.own)
        rows = query.index_select(2, self._page_row).transpose(1, 2)  # [h, pages, g, d]
        out, lse = attend(rows, keys, values, asked.score, self._own_mask(asked.window, query))
        out = out.index_select(1, self._table).view(h, count, most, g, d)
        lse = lse.index_select(1, self._table).view(h, count, most, g)
        own = join_many(out, lse)  # [h, R, g, d]
        parts = [(own[0].transpose(1, 2), own[1].transpose(1, 2))]
        if self._base:
            mask = self._path_mask(asked.window, query)
            parts.append(attend(query, *layer.between(0, self._base), asked.score, mask))
        return join(parts, asked.sinks).to(query.dtype)

    def _own_mask(self, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """[1, pages, 1, PAGE]."""
        name = ("own", window, like.dtype)
        if name not in self._masks:
            seen = self._seen if window is None else self._seen & (self._far < window)
            self._masks[name] = blocked(seen[None, :, None], like.dtype)
        return self._masks[name]

    def _path_mask(self, window: int | None, like: torch.Tensor) -> torch.Tensor | None:
        """[1, 1, R, slots of the path]."""
        if window is None:
            return None
        name = ("path", window, like.dtype)
        if name not in self._masks:
            slots = torch.arange(self._base, device=like.device)
            seen = self.positions[0, :, None] - slots < window
            self._masks[name] = blocked(seen[None, None], like.dtype)
        return self._masks[name]
