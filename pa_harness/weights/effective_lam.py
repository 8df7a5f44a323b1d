"""What rounding left of λ, measured while θ_λ is written."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from pa_harness.checkpoints.slices import Slice, TensorSlice
from pa_harness.weights.interpolation import row_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK = 1 << 16  # elements read at a time: as fp64 small enough to get the same pages again
_SAMPLE = 1 << 15  # elements of one tensor that λ_eff is estimated from
_SAMPLE_BLOCKS = 16  # contiguous blocks the sample is spread over
_FAR = 0.5  # ‖θ_i − θ_b‖ / ‖θ_b‖ from which a pair looks unrelated
_TOLERATED = 0.02  # |λ_eff − λ| up to which nothing is said


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

    def as_dict(self) -> dict[str, float]:
        """The values by name; the undefined ones are absent."""
        return {name: value for name, value in asdict(self).items() if not math.isnan(value)}

    def doubts(self, lam: float, dtype: object, ends: tuple[str, str]) -> list[str]:
        """What the measured values should make a user wonder about.

        Args:
            lam: the λ that was asked for.
            dtype: the weights'.
            ends: names of the two checkpoints that θ_λ is between.
        """
        found = []
        if self.relative_delta > _FAR:
            found.append(
                f"{ends[0]} and {ends[1]} differ by {self.relative_delta:.0%} of the first one's "
                "weights: the second may not be a fine-tune of it, and weights between them may be "
                "good for nothing."
            )
        if abs(self.lam_eff - lam) > _TOLERATED:
            found.append(
                f"Rounding to {dtype} moved λ from {lam:g} to λ_eff = {self.lam_eff:.3f} (noise "
                f"{self.rounding_noise:.0%} of the difference, which is "
                f"{self.relative_delta:.2%} of the weights). dtype=float32 holds λ exactly; "
                "rounding=stochastic holds it on average."
            )
        return found


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
    for rows in row_blocks(out.shape, _CHUNK) if every_element else _sampled_rows(out):
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


def _fp64(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("cpu", torch.float64, copy=True).flatten()
