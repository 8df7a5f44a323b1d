"""The mathematics of λ, for one tensor of any shape: one fp32 lerp, one rounding.

A `Slice` is a tensor that is read when indexed, so nothing larger than the part asked for need be
in memory.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pa_harness.checkpoints.slices import Slice

_CHUNK = 1 << 20  # elements per fp32 scratch chunk: stays in the second-level cache


def interpolate_(
    out: torch.Tensor, base: Slice, instruct: Slice, lam: float, *, seed: int | None = None
) -> None:
    """Write θ_λ = θ_base + λ (θ_instruct − θ_base) into `out`.

    λ = 0 and λ = 1 are copies, so the ends are the checkpoints bit for bit (−0.0 and infinities
    included). Otherwise one fp32 evaluation of ``torch.lerp`` per element and one rounding to
    ``out.dtype``; when all three are bf16 (or fp16) torch.lerp on the CPU already is exactly that.

    Args:
        out: destination, any shape, floating; holds θ_λ afterwards.
        base: θ_base, same shape, any floating dtype.
        instruct: θ_instruct, same shape, any floating dtype.
        lam: λ, finite.
        seed: None rounds to nearest even. A number rounds a bf16 `out` stochastically: up with the
            probability of the distance, so that λ holds on average where a nearest rounding would
            erase small differences. Same seed, same bytes, on every device.
    """
    device = out.device
    if lam in (0.0, 1.0):
        source = instruct if lam else base
        for rows in row_blocks(out.shape):
            out[rows].copy_(source[rows])
    elif base.dtype == instruct.dtype == out.dtype and seed is None:
        torch.lerp(base[...].to(device), instruct[...].to(device), lam, out=out)
    else:
        for rows in row_blocks(out.shape):
            left = base[rows].to(device, torch.float32)
            right = instruct[rows].to(device, torch.float32)
            if out.dtype == torch.float32:
                torch.lerp(left, right, lam, out=out[rows])
                continue
            exact = torch.lerp(left, right, lam)
            if seed is not None:
                first = 0 if rows is ... else rows.start * (out.numel() // out.shape[0])
                exact = _round_stochastically(exact, first, seed)
            out[rows].copy_(exact)


def tensor_seed(seed: int, name: str) -> int:
    """A seed for one tensor's stochastic rounding: independent of order, threads and shards."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7], "big")


def row_blocks(shape: Sequence[int], elements: int = _CHUNK) -> Iterator[Any]:
    """Indices that together cover a tensor of this shape, about `elements` each."""
    count = math.prod(shape)
    if not shape or count <= elements:
        yield ...
        return
    step = max(1, elements // (count // shape[0]))
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def _round_stochastically(exact: torch.Tensor, first: int, seed: int) -> torch.Tensor:
    """fp32 values that bf16 can hold: random low bits are added, then cut off.

    An element's bits are a hash of the seed and its place, in integers, which no device computes
    otherwise (Wellons' lowbias32, twice: once for each half of the seed).

    Args:
        exact: some rows of a tensor.
        first: the place of their first element in it.
        seed: at most 64 bits.
    """
    places = torch.arange(first, first + exact.numel(), device=exact.device)
    noise = places.to(torch.int32)  # beyond 2³² elements it comes again
    for half in (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF):
        noise ^= _signed(half)
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
            noise ^= (noise >> shift) & (0xFFFFFFFF >> shift)
            noise *= _signed(factor)
    bits = exact.contiguous().view(torch.int32)
    return ((bits + (noise & 0xFFFF).view(bits.shape)) & ~0xFFFF).view(torch.float32)


def _signed(word: int) -> int:
    """The int32 with the bits of an unsigned word."""
    return word - (1 << 32) if word >> 31 else word
