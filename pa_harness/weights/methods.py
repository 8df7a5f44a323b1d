"""Other ways along the path: each turns the instruct end of a tensor into another end.

θ_λ is then what it always is, θ_b + λ (θ_e − θ_b), evaluated in fp32 and rounded once; with
Δ = θ_i − θ_b the end θ_e is

    linear      θ_i (İrsoy et al. 2025, arXiv 2504.11626)
    slerp       θ_b + (s − θ_b)/λ,  s = (sin((1−λ)Ω) θ_b + sin(λΩ) θ_i) / sin Ω,
                Ω = the angle between θ_b and θ_i as vectors (Shoemake 1985, "Animating rotation
                with quaternion curves"; of weights: WARP, arXiv 2406.16768, and mergekit). So
                θ_λ = s; Ω = 0 or π has no arc, and is linear.
    low_rank    θ_b + U_r S_r V_rᵀ of Δ = U S Vᵀ: the best approximation of rank r; r given, or the
                least with σ_1² + … + σ_r² ≥ τ Σ σ² (LoRE-Adapt: Fleshman & Van Durme 2024, arXiv
                2405.15007). Of matrices; of a stack each, and other tensors as they are.
    trim        θ_b + Δ where |Δ| is among the largest share of the tensor's, θ_b elsewhere (the
                first step of TIES-Merging: Yadav et al. 2023, arXiv 2306.01708). Equal magnitudes
                at the limit all stay.

Under low_rank and trim λ = 1 is θ_e, not the instruct model. Every end is exact at λ = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pa_harness.checkpoints.slices import ComputedSlice
from pa_harness.errors import ModelArgsError
from pa_harness.weights.interpolation import row_blocks

if TYPE_CHECKING:
    from pa_harness.checkpoints.slices import Slice

NAMES = ("linear", "slerp", "low_rank", "trim")


@dataclass(frozen=True)
class Setting:
    """A method with its number.

    Attributes:
        name: of `NAMES`.
        rank: of low_rank: r. This or `energy`.
        energy: of low_rank: τ, a fraction of Σ σ².
        density: of trim: the share of the elements that stay, a fraction.
    """

    name: str = "linear"
    rank: int | None = None
    energy: float | None = None
    density: float | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """Those that are given, by name."""
        numbers = {"rank": self.rank, "energy": self.energy, "density": self.density}
        return {name: number for name, number in numbers.items() if number is not None}


def check_setting(setting: Setting) -> None:
    """Refuse a method without its number, with another's, or with an impossible one.

    Raises:
        ModelArgsError: which, and what was expected.
    """
    given = list(setting.numbers)
    expected = {"low_rank": [["rank"], ["energy"]], "trim": [["density"]]}.get(setting.name, [[]])
    if given not in expected:
        needs = " or ".join(f"{names[0]}=" if names else "none" for names in expected)
        raise ModelArgsError(
            f"method={setting.name} with {', '.join(given) or 'none'} of rank, energy and density. "
            f"Expected {needs}: method=low_rank,rank=16, method=low_rank,energy=0.5 or "
            "method=trim,density=0.2."
        )
    for name, number in setting.numbers.items():
        if not 0 < number <= (math.inf if name == "rank" else 1):
            limit = "1 or more" if name == "rank" else "above 0 and at most 1"
            raise ModelArgsError(f"{name}={number} is not possible. Expected {limit}.")


class Method:
    """The ends of one pair; what costs a pass over a tensor is computed once for each."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._known: dict[str, Any] = {}

    def end(self, key: str, base: Slice, instruct: Slice, lam: float) -> Slice:
        """θ_e of one tensor.

        Args:
            key: its name.
            base: θ_base.
            instruct: θ_instruct.
            lam: λ.
        """
        name, shape = self.setting.name, base.get_shape()
        if name == "linear" or lam == 0 or (name == "slerp" and lam == 1):
            return instruct
        if name == "slerp":
            omega = self._once(key, lambda: angle(base, instruct))
            return instruct if math.sin(omega) < _NO_ARC else _Arc(base, instruct, omega, lam)
        if name == "trim":
            return _Trimmed(base, instruct, self._once(key, lambda: self._limit(base, instruct)))
        if len(shape) < 2 or 0 in shape:
            return instruct
        return _Truncated(base, *self._once(key, lambda: self._factors(base, instruct)))

    def _once(self, key: str, compute: Any) -> Any:
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def _limit(self, base: Slice, instruct: Slice) -> float:
        """The smallest magnitude of Δ that stays."""
        size = _delta(base, instruct, ...).abs_().flatten()
        kept = int((self.setting.density or 0) * size.numel())
        if kept == 0:
            return math.inf
        return float(torch.kthvalue(size, size.numel() - kept + 1).values)

    def _factors(self, base: Slice, instruct: Slice) -> tuple[torch.Tensor, torch.Tensor]:
        """[…, rows, r] and […, r, columns], fp32, with the truncated Δ as product.

        From the eigenvectors of the smaller of ΔᵀΔ and ΔΔᵀ in fp64, which costs less than an SVD
        and holds nothing larger than Δ.
        """
        delta = _delta(base, instruct, ...).cpu()
        wide = delta.shape[-2] < delta.shape[-1]
        across = delta if wide else delta.mT
        gram = torch.zeros((*delta.shape[:-2], *[min(delta.shape[-2:])] * 2), dtype=torch.float64)
        for start in range(0, across.shape[-1], 4096):  # columns at a time, as fp64
            part = across[..., start : start + 4096].double()
            gram += part @ part.mT
        values, vectors = torch.linalg.eigh(gram)
        keep = self._rank(values.flip(-1).clamp_(min=0))
        chosen = vectors.flip(-1)[..., : int(keep.max())]
        chosen = chosen * (torch.arange(chosen.shape[-1]) < keep[..., None])[..., None, :]
        chosen = chosen.float()
        return (chosen, chosen.mT @ delta) if wide else (delta @ chosen, chosen.mT.contiguous())

    def _rank(self, energies: torch.Tensor) -> torch.Tensor:
        """Rank of every matrix, from its σ² in descending order."""
        if self.setting.rank is not None:
            most = min(self.setting.rank, energies.shape[-1])
            return torch.full(energies.shape[:-1], most)
        share = energies.cumsum(-1)
        enough = share >= (self.setting.energy or 0) * share[..., -1:] * (1 - 1e-12)
        return enough.int().argmax(-1) + 1


_NO_ARC = 1e-9  # sin Ω below which the two directions are one


def angle(base: Slice, instruct: Slice) -> float:
    """Ω between two tensors as vectors, radians; exact to fp64 also for nearly equal ones.

    Ω = 2 atan2(‖u − v‖, ‖u + v‖) of the unit vectors u and v (Kahan); 0 where one is zero.
    """
    norms = [math.sqrt(_sum(side, None, 0.0)) for side in (base, instruct)]
    if 0.0 in norms:
        return 0.0
    scale = norms[0] / norms[1]
    apart, along = (math.sqrt(_sum(base, instruct, sign * scale)) for sign in (-1, 1))
    return 2 * math.atan2(apart, along)


def arc(omega: float, lam: float) -> tuple[float, float]:
    """What a slerp at λ takes of θ_base and of θ_instruct; 1 − λ and λ where there is no arc."""
    if math.sin(omega) < _NO_ARC:
        return 1 - lam, lam
    return math.sin((1 - lam) * omega) / math.sin(omega), math.sin(lam * omega) / math.sin(omega)


def _sum(base: Slice, instruct: Slice | None, scale: float) -> float:
    """Σ (a + scale·b)², in fp64."""
    total = 0.0
    for rows in row_blocks(base.get_shape()):
        value = base[rows].double()
        if instruct is not None:
            value = value.add(instruct[rows].double(), alpha=scale)
        total += float((value * value).sum())
    return total


def _delta(base: Slice, instruct: Slice, index: Any) -> torch.Tensor:
    return instruct[index].float() - base[index].float()


class _Arc(ComputedSlice):
    """The point that a lerp at λ takes to the slerp at λ."""

    def __init__(self, base: Slice, instruct: Slice, omega: float, lam: float) -> None:
        super().__init__(base.get_shape())
        self._base = base
        self._instruct, self._lam = instruct, lam
        self._parts = arc(omega, lam)

    def __getitem__(self, index: Any) -> torch.Tensor:
        base = self._base[index].double()
        arc = base * self._parts[0] + self._instruct[index].double() * self._parts[1]
        return ((arc - base) / self._lam + base).float()


class _Trimmed(ComputedSlice):
    """θ_i where Δ is large, θ_b elsewhere."""

    def __init__(self, base: Slice, instruct: Slice, limit: float) -> None:
        super().__init__(base.get_shape())
        self._base = base
        self._instruct, self._limit = instruct, limit

    def __getitem__(self, index: Any) -> torch.Tensor:
        base, instruct = self._base[index].float(), self._instruct[index].float()
        return torch.where((instruct - base).abs_() >= self._limit, instruct, base)


class _Truncated(ComputedSlice):
    """θ_b plus a product of two factors."""

    def __init__(self, base: Slice, left: torch.Tensor, right: torch.Tensor) -> None:
        super().__init__(base.get_shape())
        self._base = base
        self._left, self._right = left, right

    def rows(self, index: Any) -> torch.Tensor:
        right = self._right if self._left.dim() == 2 else self._right[index]
        base = self._base[index].float()
        return base + (self._left[index] @ right).to(base.device)
