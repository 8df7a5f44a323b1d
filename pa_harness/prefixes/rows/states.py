"""What a model's own cache holds, and forks of it."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import torch

from pa_harness.prefixes.attention.tree import NotATreeError
from pa_harness.prefixes.forward import once
from pa_harness.prefixes.rows.chunks import short_chunks
from pa_harness.prefixes.rows.selective_scan import scans_from_states

if TYPE_CHECKING:
    from collections.abc import Iterator

_CACHES = ("past_key_values", "cache_params")  # what models call it


def fork(cache: Any, rows: torch.Tensor, *, last: bool) -> Any:
    """A cache whose rows are some rows of another one, as transformers reorders beams.

    Args:
        cache: with `layers`, each of which can reorder its rows.
        rows: int64 [R], on the host.
        last: whether the other one is not needed any more; then it is itself changed.
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
    return cache


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
        self, tokens: torch.Tensor, start: int, cache: Any, reading: torch.Tensor
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Compute rows; `cache` has what is kept of them as soon as something was yielded.

        Args:
            tokens: ids, [R, L].
            start: tokens that the cache holds of each row.
            cache: of R rows, which goes into the new one; None for no tokens.
            reading: rows and columns whose logits are wanted, [r, 2], r ≥ 1.

        Yields:
            Which of `reading`, and their logits, [few, vocabulary].
        """
        given: dict[str, Any] = {self._name: cache, "use_cache": True}
        if self._positions:
            at = torch.arange(start, start + tokens.shape[1], device=tokens.device)
            given["position_ids"] = at[None].expand(len(tokens), -1)
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
