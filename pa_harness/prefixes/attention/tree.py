"""Attention over a tree of tokens, in the place of a transformers model's own.

The model computes queries, keys and values of a pass as ever, from explicit positions; this room
keeps the keys and values in slots and lets every token see its ancestors only. What a forward pass
is about stands in its work: a pass over the trie (`attention.pass_attention`) or one more token for
every row that decodes (`decoding.row_attention`). Shapes: h heads of keys, g heads of queries to
each, d the size of a head, n tokens of a pass; a batch is always one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn.functional import pad
from transformers import AttentionInterface

from pa_harness.prefixes.attention.kernels import Score

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from typing_extensions import Self

_NAME = "pa_harness_tree"
# What models tell their attention function. Those that change nothing here:
_HARMLESS = {"is_causal", "position_ids", "output_attentions", "use_cache", "cache_position"}
_HARMLESS |= {"output_hidden_states", "output_router_logits", "return_dict", "deterministic"}
_HARMLESS |= {"logits_to_keep", "num_items_in_batch"}
_HEEDED = {"scaling", "dropout", "sliding_window", "softcap", "s_aux"}  # s_aux: sinks


class NotATreeError(Exception):
    """The model mixes tokens in a way that this room does not know; its text says which."""


@dataclass
class Layer:
    """What one attention layer keeps.

    Attributes:
        slots: keys and values of a path and a pass, [2, h, slots, d].
        own: those of rows that decode, [2, h, slots of pages, d].
        g: heads of queries to each of keys.
    """

    slots: torch.Tensor
    own: torch.Tensor
    g: int

    def between(self, first: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the slots [first, end), [h, g, slots, d] without a copy for each."""
        keys, values = self.slots[:, :, None, first:end].expand(-1, -1, self.g, -1, -1)
        return keys, values


@dataclass(frozen=True)
class Asked:
    """What a layer asks of its attention.

    Attributes:
        score: how scores are made.
        window: a token sees those less than so many positions before it; None is no window.
        sinks: [h, g, 1], a score that takes part in the softmax and has no value, or None.
    """

    score: Score
    window: int | None
    sinks: torch.Tensor | None


class Work(Protocol):
    """What the tokens of the next forward pass are, and what they see."""

    def store(self, layer: Layer, key: torch.Tensor, value: torch.Tensor) -> None:
        """Keep keys and values, [h, n, d]."""

    def attend(self, layer: Layer, query: torch.Tensor, asked: Asked) -> torch.Tensor:
        """Attention of [h, g, n, d]."""


class TreeAttention:
    """A model's attention while the with block lasts; the model's own is back after it.

    Not for two models at a time in one process.
    """

    def __init__(self, model: PreTrainedModel, capacity: int = 0, own: int = 0) -> None:
        """Nothing is changed or allocated yet.

        Args:
            model: a decoder that `compatibility` has nothing against.
            capacity: slots for a path and a pass.
            own: slots for rows that decode.
        """
        self._model, self._capacity, self._own = model, capacity, own
        self._before = implementation(model)
        self._config = model.config.get_text_config(decoder=True)
        self._layers: list[Layer] = []  # per call of a forward pass
        self._work: Work | None = None
        self._calls = 0

    def __enter__(self) -> Self:
        AttentionInterface.register(_NAME, self._attend)
        self._model.set_attn_implementation(_NAME)
        return self

    def __exit__(self, *_: object) -> None:
        self._model.set_attn_implementation(self._before)
        AttentionInterface.register(_NAME, _nobody)  # transformers must not keep the model alive
        self._layers, self._work = [], None

    def make_room(self, capacity: int) -> None:
        """Have so many slots for a path and a pass at least; what lies in them stays."""
        if capacity <= self._capacity:
            return
        for layer in self._layers:
            before = layer.slots
            two, h, size, d = before.shape
            layer.slots = before.new_empty(two, h, capacity, d)
            layer.slots[:, :, :size] = before
        self._capacity = capacity

    def expect(self, work: Work) -> None:
        """Say what the next forward pass is about."""
        self._work, self._calls = work, 0

    def hand_over(self, slots: torch.Tensor, own: torch.Tensor) -> None:
        """Copy slots of the path and the pass to slots of rows, both int64 [slots]."""
        for layer in self._layers:
            at = own.to(layer.own.device), slots.to(layer.own.device)
            layer.own.index_copy_(2, at[0], layer.slots.index_select(2, at[1]))

    def move(self, before: torch.Tensor, after: torch.Tensor) -> None:
        """Move slots of rows, int64 [slots] each."""
        for layer in self._layers:
            moved = layer.own.index_select(2, before.to(layer.own.device))
            layer.own.index_copy_(2, after.to(layer.own.device), moved)

    @property
    def slot_bytes(self) -> int:
        """Bytes of one slot in all layers; known after a forward pass."""
        return sum(each.slots[:, :, :1].nbytes for each in self._layers)

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
    ) -> tuple[torch.Tensor, None]:
        """What the model calls: [1, heads, n, d] of queries, [1, h, n, d] of keys and values."""
        if self._work is None:
            raise RuntimeError("a forward pass that nobody said anything about")
        self._check(module, attention_mask, kwargs)
        kind, width = query.device.type, value.shape[-1]
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
            query, key, value = (each.to(dtype) for each in (query, key, value))
        scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
        query, key, value = _of_one_width([query, key, value])
        _, heads, n, d = query.shape
        h = key.shape[1]
        layer = self._layer(key, heads // h)
        sinks = kwargs.get("s_aux")
        asked = Asked(
            Score(scale, kwargs.get("softcap")),
            kwargs.get("sliding_window"),
            None if sinks is None else sinks.reshape(h, heads // h, 1),
        )
        with torch.autocast(kind, enabled=False):
            self._work.store(layer, key[0], value[0])
            out = self._work.attend(layer, query.reshape(h, heads // h, n, d), asked)
        out = out.reshape(1, heads, n, d)[..., :width]
        return out.transpose(1, 2).contiguous(), None

    def _layer(self, like: torch.Tensor, g: int) -> Layer:
        """What this call's layer keeps; made when it is first called."""
        if self._calls == len(self._layers):
            _, h, _, d = like.shape
            own = like.new_zeros(2, h, self._own, d)  # what nobody wrote yet is masked, not skipped
            self._layers.append(Layer(like.new_empty(2, h, self._capacity, d), own, g))
        self._calls += 1
        return self._layers[self._calls - 1]

    def _check(
        self, module: torch.nn.Module, mask: torch.Tensor | None, kwargs: dict[str, Any]
    ) -> None:
        """Refuse what this attention would not stand for."""
        window, layer = kwargs.get("sliding_window"), getattr(module, "layer_idx", None)
        kinds, expected = getattr(self._config, "layer_types", None), None
        if kinds is None or layer is None or kinds[layer] == "sliding_attention":
            expected = getattr(self._config, "sliding_window", None)
        if window != expected:
            raise NotATreeError(f"layer {layer} has sliding_window={window}, its mask {expected}")
        if mask is not None or kwargs.get("position_bias") is not None:
            raise NotATreeError(f"layer {layer} adds a mask or bias of its own")
        given = {name for name, value in kwargs.items() if value is not None}
        unknown = given - _HEEDED - _HARMLESS
        if unknown or kwargs.get("dropout"):
            names = ", ".join(sorted(unknown)) or "dropout"
            raise NotATreeError(f"layer {layer} asks for attention with {names}")


def _of_one_width(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Heads of keys and of values may differ in size (latent attention): 0 behind the smaller."""
    width = max(each.shape[-1] for each in tensors)
    if all(each.shape[-1] == width for each in tensors):
        return tensors
    return [pad(each, (0, width - each.shape[-1])) for each in tensors]


def _nobody(*_: Any, **__: Any) -> Any:
    raise RuntimeError("attention over a tree of tokens was asked for outside of its with block")


def implementation(module: Any) -> str:
    """The name of the attention function that a module's configuration asks for."""
    name: str = getattr(module.config, "_attn_implementation", None) or "eager"
    return name
