"""Attention over a tree of tokens, in the place of a transformers model's own.

The model computes queries, keys and values of a pass as ever, from explicit positions; this room
keeps the keys and values in slots (see `passes`) and lets every token see its ancestors only. The
arithmetic stays the model's: its own attention function is called, with more keys and another
mask. Shapes: h key heads, d of a head, n tokens of a pass; a batch is always one row.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from typing_extensions import Self

    from pa_harness.prefixes.passes import Pass

# Per window and device what tokens may see: bool, [tokens, slots up to the last of them].
Visible = Callable[[int | None, torch.device], torch.Tensor]
_NAME = "pa_harness_tree"
_FUSED = ("sdpa", "flash_attention_2", "flash_attention_3", "flash_attention_4", "flex_attention")


class NotATreeError(Exception):
    """The model mixes tokens in a way that this room does not know; its text says which."""


class TreeAttention:
    """A model's attention while the with block lasts; the model's own is back after it.

    Not for two models at a time in one process.
    """

    def __init__(self, model: PreTrainedModel, capacity: int) -> None:
        """Nothing is changed or allocated yet.

        Args:
            model: a decoder that `compatibility` has nothing against.
            capacity: slots.
        """
        self._model, self._capacity = model, capacity
        self._before = implementation(model)
        self._config = model.config.get_text_config(decoder=True)
        self._slots: list[tuple[torch.Tensor, torch.Tensor]] = []  # per call of a forward pass
        self._masks: dict[Any, torch.Tensor] = {}
        self._visible: Visible = _nothing
        self._begin = self._end = self._calls = 0

    def __enter__(self) -> Self:
        AttentionInterface.register(_NAME, self._attend)
        self._model.set_attn_implementation(_NAME)
        return self

    def __exit__(self, *_: object) -> None:
        self._model.set_attn_implementation(self._before)
        AttentionInterface.register(_NAME, _nobody)  # transformers must not keep the model alive
        self._slots, self._masks = [], {}

    def expect(self, begin: int, end: int, visible: Visible) -> None:
        """Say into which slots the next forward pass's tokens go, and what they may see."""
        self._begin, self._end, self._visible = begin, end, visible
        self._calls, self._masks = 0, {}

    def keep(self, slots: torch.Tensor, capacity: int) -> None:
        """Move some slots to the front, in their order, and forget the others.

        Args:
            slots: int64, ascending.
            capacity: slots from now on.
        """
        self._capacity = capacity
        for index, pair in enumerate(self._slots):
            moved = [old[:, :, slots.to(old.device)] for old in pair]
            fresh = self._room(moved[0]), self._room(moved[1])
            for new, old in zip(fresh, moved, strict=True):
                new[:, :, : len(slots)] = old
            self._slots[index] = fresh

    @property
    def capacity(self) -> int:
        """Slots."""
        return self._capacity

    @property
    def calls(self) -> int:
        """How often the last forward pass asked for attention."""
        return self._calls

    def _attend(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, Any]:
        """What the model calls: [1, heads, n, d] of queries, [1, h, n, d] of keys and values."""
        self._check(module, attention_mask, kwargs)
        keys, values = self._stored(key, value)
        mask = self._mask(kwargs.get("sliding_window"), query)
        plain = kwargs.get("softcap") is None and kwargs.get("s_aux") is None  # s_aux: sinks
        if self._before in _FUSED and plain:
            return _fused(query, keys, values, mask, kwargs.get("scaling")), None
        attend = _own_attention(module)
        out: tuple[torch.Tensor, Any] = attend(module, query, keys, values, mask, **kwargs)
        return out

    def _stored(self, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Put keys and values into their slots; return all up to the last of them."""
        if self._calls == len(self._slots):
            self._slots.append((self._room(key), self._room(value)))
        keys, values = self._slots[self._calls]
        self._calls += 1
        begin, end = self._begin, self._end
        keys[:, :, begin:end], values[:, :, begin:end] = key, value
        return keys[:, :, :end], values[:, :, :end]

    def _room(self, like: torch.Tensor) -> torch.Tensor:
        batch, heads, _, size = like.shape
        return like.new_empty(batch, heads, self._capacity, size)

    def _mask(self, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """What is added to the scores, [1, 1, n, slots]: 0 where a token may look, else −∞."""
        at = (window, like.device, like.dtype)
        if at not in self._masks:
            visible = self._visible(window, like.device)
            mask = torch.zeros(visible.shape, dtype=like.dtype, device=like.device)
            self._masks[at] = mask.masked_fill_(~visible, -torch.inf)[None, None]
        return self._masks[at]

    def _check(
        self, module: torch.nn.Module, mask: torch.Tensor | None, kwargs: dict[str, Any]
    ) -> None:
        """Refuse what the tree's mask would not stand for."""
        window, layer = kwargs.get("sliding_window"), getattr(module, "layer_idx", None)
        kinds, expected = getattr(self._config, "layer_types", None), None
        if kinds is None or layer is None or kinds[layer] == "sliding_attention":
            expected = getattr(self._config, "sliding_window", None)
        if window != expected:
            raise NotATreeError(f"layer {layer} has sliding_window={window}, its mask {expected}")
        if mask is not None or kwargs.get("position_bias") is not None:
            raise NotATreeError(f"layer {layer} adds a mask or bias of its own")


def ancestors(part: Pass, rows: slice | list[int], end: int) -> Visible:
    """What some tokens of a pass may see of the slots up to its token `end`."""

    def visible(window: int | None, device: torch.device) -> torch.Tensor:
        path = part.kept + part.path
        slot = torch.arange(part.kept + end, device=device)
        token = torch.arange(len(part.tokens), device=device)[rows, None]
        sees, position, stop = (
            torch.from_numpy(values).to(device) for values in (part.sees, part.positions, part.stop)
        )
        seen = slot < sees[rows, None]
        if part.kept + end > path:
            hung = slot[path:] - part.kept
            seen[:, path:] = (hung <= token) & (token < stop[hung])
        if window is not None:
            at = torch.cat([slot[:path], position[part.path : end]])
            seen &= position[rows, None] - at < window
        return seen

    return visible


def _nobody(*_: Any, **__: Any) -> Any:
    raise RuntimeError("attention over a tree of tokens was asked for outside of its with block")


def _nothing(_: int | None, device: torch.device) -> torch.Tensor:
    return torch.empty(0, 0, dtype=torch.bool, device=device)


def implementation(module: Any) -> str:
    """The name of the attention function that a module's configuration asks for."""
    name: str = getattr(module.config, "_attn_implementation", None) or "eager"
    return name


def _own_attention(module: torch.nn.Module) -> Callable[..., Any]:
    """The plain attention function of the file that a module was written in."""
    found = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if found is None:
        raise NotATreeError(f"{type(module).__name__} has no plain attention function")
    attend: Callable[..., Any] = found
    return attend


def _fused(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    scaling: float | None,
) -> torch.Tensor:
    """Attention of torch without a copy of the keys per query head; [1, n, heads, d] of values.

    Key heads stand where the batch is expected, and the query heads of one share its keys.
    """
    _, heads, n, size = query.shape
    groups = keys.shape[1]
    shared = (groups, heads // groups, -1, -1)
    out = scaled_dot_product_attention(
        query.reshape(groups, heads // groups, n, size),
        keys[0][:, None].expand(*shared),
        values[0][:, None].expand(*shared),
        attn_mask=mask,
        scale=scaling,
    )
    return out.reshape(1, heads, n, values.shape[-1]).transpose(1, 2).contiguous()
