"""The mathematics of λ: interpolate one tensor, and measure what rounding left of λ.

Tensors of any shape. A `Slice` is a tensor that is read when indexed, as safetensors gives it, so
nothing larger than the part asked for need be in memory.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pa_harness.checkpoints.slices import Slice, TensorSlice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_CHUNK = 1 << 20  # elements per fp32 scratch chunk: stays in the second-level cache
_SAMPLE = 1 << 15  # elements of one tensor that λ_eff is estimated from
_SAMPLE_BLOCKS = 16  # contiguous blocks the sample is spread over


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
            erase small differences. Same seed, same bytes.
    """
    if lam in (0.0, 1.0):
        source = instruct if lam else base
        for rows in row_blocks(out.shape):
            out[rows].copy_(source[rows])
    elif base.dtype == instruct.dtype == out.dtype and seed is None:
        torch.lerp(_like(base[...], out), _like(instruct[...], out), lam, out=out)
    else:
        generator = None if seed is None else torch.Generator(out.device).manual_seed(seed)
        for rows in row_blocks(out.shape):
            ends = _fp32(base[rows], out), _fp32(instruct[rows], out)
            if out.dtype == torch.float32:
                torch.lerp(*ends, lam, out=out[rows])
                continue
            exact = torch.lerp(*ends, lam)
            if generator is not None:
                exact = _round_stochastically(exact, generator)
            out[rows].copy_(exact)


def tensor_seed(seed: int, name: str) -> int:
    """A seed for one tensor's stochastic rounding: independent of order, threads and shards."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7], "big")


@dataclass(frozen=True)
class Moments:
    """Sums over (a sample of) one tensor, with d = θ_instruct − θ_base, in float64.

    Attributes:
        dot: Σ (θ_λ − θ_base)·d, as stored.
        delta: Σ d².
        noise: Σ (θ_λ as stored − θ_λ exact)².
        base: Σ θ_base².
        weight: elements of the tensor per element looked at, ≥ 1.
    """

    dot: float
    delta: float
    noise: float
    base: float
    weight: float


@dataclass(frozen=True)
class EffectiveLam:
    """What rounding left of λ.

    Attributes:
        lam_eff: λ_eff = ⟨θ_λ−θ_b, θ_i−θ_b⟩ / ‖θ_i−θ_b‖², the λ the stored weights really have;
            nan where the two checkpoints are equal.
        rounding_noise: ‖θ_λ stored − θ_λ exact‖ / ‖θ_i−θ_b‖, a fraction; nan likewise.
        relative_delta: ‖θ_i−θ_b‖ / ‖θ_b‖, a fraction.
    """

    lam_eff: float
    rounding_noise: float
    relative_delta: float


def moments(
    out: torch.Tensor, base: Slice, instruct: Slice, lam: float, *, every_element: bool = False
) -> Moments:
    """The sums behind λ_eff for one tensor.

    Args:
        out: θ_λ as stored.
        base: θ_base.
        instruct: θ_instruct.
        lam: the λ that was asked for.
        every_element: use all elements; otherwise at most 32,768, in evenly spread blocks of rows.
    """
    dot = delta = noise = norm = 0.0
    seen = 0
    # Chunks of fp64 small enough for the allocator to hand out the same pages again.
    for rows in row_blocks(out.shape, _CHUNK // 16) if every_element else _sampled_rows(out):
        a, d, moved = (_fp64(part[rows]) for part in (base, instruct, TensorSlice(out)))
        d.sub_(a)
        moved.sub_(a)
        dot += float(torch.dot(moved, d))
        delta += float(torch.dot(d, d))
        norm += float(torch.dot(a, a))
        moved.sub_(d, alpha=lam)
        noise += float(torch.dot(moved, moved))
        seen += a.numel()
    return Moments(dot, delta, noise, norm, out.numel() / max(seen, 1))


def effective_lam(parts: Iterable[Moments]) -> EffectiveLam:
    """λ_eff over one tensor or a whole model (`Moments.weight` undoes the sampling)."""
    dot = delta = noise = base = 0.0
    for part in parts:
        dot += part.weight * part.dot
        delta += part.weight * part.delta
        noise += part.weight * part.noise
        base += part.weight * part.base
    return EffectiveLam(
        lam_eff=dot / delta if delta else math.nan,
        rounding_noise=math.sqrt(noise / delta) if delta else math.nan,
        relative_delta=math.sqrt(delta / base) if base else math.nan,
    )


def row_blocks(shape: Sequence[int], elements: int = _CHUNK) -> Iterator[Any]:
    """Indices that together cover a tensor of this shape, about `elements` each."""
    count = math.prod(shape)
    if not shape or count <= elements:
        yield ...
        return
    step = max(1, elements // (count // shape[0]))
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def _sampled_rows(out: torch.Tensor) -> Iterator[Any]:
    """Indices of evenly spread blocks of rows, about `_SAMPLE` elements together."""
    if out.dim() == 0 or out.numel() <= _SAMPLE:
        yield ...
        return
    rows = out.shape[0]
    wanted = max(1, _SAMPLE // (out.numel() // rows))  # rows in the sample
    blocks = min(_SAMPLE_BLOCKS, wanted)
    for block in range(blocks):
        start = (rows - wanted // blocks) * block // max(1, blocks - 1)
        yield slice(start, start + wanted // blocks)


def _like(tensor: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    return tensor.to(out.device)


def _fp32(tensor: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    return tensor.to(out.device, torch.float32)


def _fp64(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("cpu", torch.float64, copy=True).flatten()


def _round_stochastically(exact: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """fp32 values that bf16 can hold: random low bits are added, then cut off."""
    bits = exact.contiguous().view(torch.int32)
    noise = torch.randint(
        0, 1 << 16, bits.shape, dtype=torch.int32, generator=generator, device=bits.device
    )
    return ((bits + noise) & ~0xFFFF).view(torch.float32)
