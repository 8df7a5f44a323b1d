"""What a model's own cache holds, and forks of it."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import pad

from pa_harness.prefixes.attention.tree import NotATreeError
from pa_harness.prefixes.forward import once
from pa_harness.prefixes.rows.chunks import short_chunks
from pa_harness.prefixes.rows.selective_scan import scans_from_states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pa_harness.prefixes.rows.steps import Array

_SLOTTED = ("keys", "values", "indexer_keys")  # [rows, ..., slots, width]
_MATRIX = 2  # dimensions of what is kept of rows, at least
_CACHES = ("past_key_values", "cache_params")  # what models call it


def fork(cache: Any, rows: torch.Tensor, *, last: bool, deepest: int) -> Any:
    """A cache whose rows are some rows of another one, as transformers reorders beams.

    Args:
        cache: with `layers`, each of which can reorder its rows.
        rows: int64 [R], on the host.
        last: whether the other one is not needed any more; then it is itself changed.
        deepest: tokens of the deepest of the rows; slots that none of them has are dropped.
    """
    if not last:
        cache = copy.copy(cache)
        cache.layers = [copy.copy(layer) for layer in cache.layers]
        for layer in cache.layers:
            for name, value in vars(layer).items():
                if isinstance(value, dict | list):  # of states, which layers write into
                    setattr(layer, name, copy.copy(value))
    for layer in cache.layers:
        layer.reorder_cache(rows.to(getattr(layer, "device", None) or "cpu"))
    _filled([(cache, deepest)], deepest)
    return cache


def joined(parts: list[tuple[Any, int]]) -> Any:
    """A cache of the rows of several, one's after another's: the first cache, changed.

    Args:
        parts: caches, and the tokens of the deepest row of each.

    Raises:
        NotATreeError: a layer holds what is neither a state nor slots of tokens.
    """
    whole = parts[0][0]
    _filled(parts, max(depth for _, depth in parts))
    for layers in zip(*(cache.layers for cache, _ in parts), strict=True):
        for name, value in vars(layers[0]).items():
            every = [getattr(layer, name) for layer in layers]
            if name == "indexer_position_ids" and value is not None:
                raise NotATreeError(f"{type(layers[0]).__name__} knows its tokens by position")
            if isinstance(value, dict):
                found = {key: _rows([each[key] for each in every]) for key in value}
                setattr(layers[0], name, found)
            else:
                setattr(layers[0], name, _rows(every))
    return whole


def _rows(values: list[Any]) -> Any:
    """What layers hold of their rows, beside each other; of anything else the first one's."""
    tensors = all(isinstance(each, torch.Tensor) and each.dim() >= _MATRIX for each in values)
    return torch.cat(values) if tensors else values[0]


def _filled(parts: list[tuple[Any, int]], deepest: int) -> None:
    """Give the layers of caches equally many slots of tokens, right-aligned, and none for nobody.

    A layer with a window keeps fewer of them than there are tokens.
    """
    for layers in zip(*(cache.layers for cache, _ in parts), strict=True):
        for name in _SLOTTED:
            found: list[Any] = [getattr(layer, name, None) for layer in layers]
            if any(not isinstance(each, torch.Tensor) or each.dim() < _MATRIX for each in found):
                continue
            sizes = [each.shape[-2] for each in found]
            size = max(min(each, most) for each, (_, most) in zip(sizes, parts, strict=True))
            for layer, each in zip(layers, found, strict=True):
                more = size - each.shape[-2]
                setattr(
                    layer, name, pad(each, (0, 0, more, 0)) if more > 0 else each[..., -more:, :]
                )
        for layer in layers:
            if hasattr(layer, "cumulative_length"):
                layer.cumulative_length = deepest


def tensors(cache: Any) -> Iterator[torch.Tensor]:
    """Everything that a cache's layers hold."""
    for layer in cache.layers:
        for value in vars(layer).values():
            for each in value.values() if isinstance(value, dict) else [value]:
                if isinstance(each, torch.Tensor) and each.dim() > 1:
                    yield each


def nbytes(cache: Any) -> int:
    """Bytes of all that a cache holds."""
    return sum(each.nbytes for each in tensors(cache))


class RowForward:
    """A model's forward pass over rows, from a cache to a cache.

    Attributes:
        cache: what the model kept in its last forward pass.
    """

    def __init__(self, model: Any, *, positions: bool, logit_rows: int) -> None:
        """Nothing is computed yet.

        Args:
            model: a decoder.
            positions: whether it is told the positions of its tokens; else it counts itself.
            logit_rows: rows of logits at a time.
        """
        self._model, self._positions, self._logit_rows = model, positions, logit_rows
        names = inspect.signature(model.forward).parameters
        found = [name for name in _CACHES if name in names]
        if not found:
            raise NotATreeError(f"{type(model).__name__} takes no cache")
        self._name, self.cache = found[0], None

    def __call__(
        self, tokens: torch.Tensor, start: Array, cache: Any, reading: torch.Tensor
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Compute rows; `cache` has what is kept of them as soon as something was yielded.

        Args:
            tokens: ids, [R, L].
            start: tokens that the cache holds of each row, [R].
            cache: of R rows, which goes into the new one; None for no tokens.
            reading: rows and columns whose logits are wanted, [r, 2], r ≥ 1.

        Yields:
            Which of `reading`, and their logits, [few, vocabulary].
        """
        given: dict[str, Any] = {self._name: cache, "use_cache": True}
        count, deepest = tokens.shape[1], int(start.max())
        if self._positions:
            places = start[:, None] + np.arange(count)
            given["position_ids"] = torch.from_numpy(places).to(tokens.device)
        if int(start.min()) < deepest and any(hasattr(each, "keys") for each in cache.layers):
            filled = np.arange(deepest + count) >= deepest - start[:, None]
            given["attention_mask"] = torch.from_numpy(filled.astype(np.int64)).to(tokens.device)
        whole = self._model.base_model is self._model  # then nothing stands below a head
        step = len(reading) if whole else self._logit_rows
        rows, columns = reading.unbind(1)
        hidden: list[torch.Tensor] = []
        some = slice(0, 0)

        def few(said: Any) -> Any:
            name = next(iter(said.keys()))
            if not hidden:
                at = said[name].device
                hidden.append(said[name][rows.to(at), columns.to(at)])
            said[name] = hidden[0][None, some]
            return said

        with (
            once(self._model, few),
            scans_from_states(self._model),
            short_chunks(self._model, tokens.shape[1]),
        ):
            for first in range(0, len(reading), step):
                some = slice(first, min(first + step, len(reading)))
                out = self._model(input_ids=tokens[:, : None if first == 0 else 0], **given)
                if first == 0:
                    self._keep(out)
                logits = out.logits
                logits = logits[rows, columns] if whole else logits[0]
                if len(logits) != some.stop - some.start:
                    raise NotATreeError(f"the head of {type(self._model).__name__} mixes tokens")
                yield some, logits

    def _keep(self, out: Any) -> None:
        self.cache = out.get(self._name)
        if not hasattr(self.cache, "layers"):
            raise NotATreeError(f"{type(self._model).__name__} has no cache that can be forked")
