"""Mamba's selective scan from a state: transformers' own begins at zero wherever it sees a cache.

With h₀ the state before the tokens, the scan is linear in it: to the output of token t it adds
C_t · exp(A Σ_{s≤t} Δ_s) h₀, before the gate, and to the last state what is left of h₀ itself.
Layers of the second kind (Mamba-2, gated delta rule, short convolutions) take their states.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import silu, softplus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SCAN = "mamba_selective_scan"  # the name by which the layers' modules of transformers know it


@contextmanager
def scans_from_states(model: torch.nn.Module) -> Iterator[None]:
    """While it lasts the selective scans of a model begin at the states in its cache."""
    layers = [each for each in model.modules() if _scans(each)]
    states: list[torch.Tensor] = []  # of the layer that computes: one, or of each of its heads

    def before(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        cache = kwargs.get("cache_params")
        if cache is None and len(args) > 1:
            cache = args[1]
        found = None if cache is None else cache.get_recurrent_state(layer.layer_idx)
        states[:] = [] if found is None else found.unbind(1) if found.dim() > 3 else [found]

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_pre_hook(before, with_kwargs=True).remove)
        for module in {sys.modules[type(layer).__module__] for layer in layers}:
            scan = getattr(module, _SCAN)
            stack.callback(setattr, module, _SCAN, scan)
            setattr(module, _SCAN, _continued(scan, states))
        yield


def _scans(module: torch.nn.Module) -> bool:
    return hasattr(module, "A_log") and hasattr(sys.modules[type(module).__module__], _SCAN)


def _continued(scan: Callable[..., Any], states: list[torch.Tensor]) -> Callable[..., Any]:
    """A scan that begins at the first of some states, which it takes from them, if there is one."""

    def continued(
        *given: torch.Tensor,
        z: torch.Tensor | None = None,
        return_last_state: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Given are u and Δ [rows, channels, n]; A [channels, states]; B, C [rows, states, n]."""
        if not states:
            return scan(*given, z=z, return_last_state=return_last_state, **kwargs)
        out, last = scan(*given, return_last_state=True, **kwargs)
        _, step, decay, _, reading = given
        state, bias = states.pop(0), kwargs.get("delta_bias")
        step = step if bias is None else step + bias.to(step.dtype)[:, None]
        step = softplus(step) if kwargs.get("delta_softplus") else step
        passed = step.float().cumsum(-1)  # [rows, channels, n]
        left = state.float()[..., None] * torch.exp(decay.float()[..., None] * passed[:, :, None])
        out = out + torch.einsum("rcsn,rsn->rcn", left, reading.float()).to(out.dtype)
        out = out if z is None else out * silu(z)
        return (out, last + left[..., -1].to(last.dtype)) if return_last_state else out

    return continued
