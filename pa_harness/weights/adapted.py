"""θ_λ of a pair or path, tensor by tensor: λ, values, what rounding left, a fingerprint.

What holds the tensors then brings them there: a transformers model (`models.loading`), an engine
(`models.vllm.weights`), a checkpoint (`export.model`).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from pa_harness.checkpoints.slices import held
from pa_harness.errors import PairError
from pa_harness.lam.path import place
from pa_harness.lam.reading import warn_of_extrapolation
from pa_harness.lam.schedule import Schedule
from pa_harness.weights.effective_lam import EffectiveLam, Moments, effective_lam, moments
from pa_harness.weights.inspection import Findings
from pa_harness.weights.interpolation import interpolate_, tensor_seed
from pa_harness.weights.methods import Method, Setting

if TYPE_CHECKING:
    from collections.abc import Container

    from pa_harness.checkpoints.pair import Pair
    from pa_harness.checkpoints.slices import Slice
    from pa_harness.lam.schedule import Lam


class AdaptedWeights:
    """θ_λ of one pair, or of a path of more checkpoints.

    Attributes:
        pair: the checkpoints.
        dtype: of θ_λ.
        lam: the λ that a model has of it; None while that is being changed, and before.
        seed: seed of the stochastic rounding, None for rounding to nearest.
        findings: checksums, and what is wrong with the values that were read and made.
    """

    def __init__(
        self,
        pair: Pair,
        *,
        seed: int | None = None,
        every_element: bool = False,
        check_finite: bool = True,
        method: Setting | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            pair: the checked checkpoints.
            seed: None, or the seed of stochastic rounding (bf16 only).
            every_element: measure λ_eff over every element instead of a sample.
            check_finite: refuse NaN and infinities in the checkpoints.
            method: the way from a checkpoint to the next; None is linear.
        """
        self.pair, self.dtype = pair, pair.model.dtype
        self.lam: Lam | None = None
        self.findings = Findings(pair, check_finite=check_finite)
        self.seed, self._every_element = seed, every_element
        self.method = method or Setting()
        self._methods = [Method(self.method) for _ in range(pair.legs)]
        self._moments: dict[str, tuple[float, Moments]] = {}  # λ of the tensor, and its sums

    def per_tensor(self, lam: Lam) -> dict[str, float]:
        """λ of every parameter; a rule of a schedule that matches none is a ModelArgsError."""
        keys = self.pair.base_slices
        lams = lam.per_tensor(keys) if isinstance(lam, Schedule) else dict.fromkeys(keys, lam)
        if not all(0 <= each <= self.pair.legs for each in lams.values()):
            warn_of_extrapolation(self.pair.legs)
        return lams

    def effective_lam(self) -> EffectiveLam:
        """λ_eff of the whole model (see `effective_lam.EffectiveLam`)."""
        return effective_lam(part for _, (_, part) in sorted(self._moments.items()))

    def effective_lam_per_tensor(self) -> dict[str, EffectiveLam]:
        """λ_eff per parameter."""
        return {key: effective_lam([part]) for key, (_, part) in sorted(self._moments.items())}

    def asked_lam(self) -> float:
        """λ_eff without rounding: λ, or the mean of a schedule by share of the change."""
        if not isinstance(self.lam, Schedule):
            return math.nan if self.lam is None else self.lam
        shares = [(lam, part.weight * part.delta) for lam, part in self._moments.values()]
        total = sum(share for _, share in shares)
        return sum(lam * share for lam, share in shares) / total if total else math.nan

    def fingerprint(self, among: Container[str] | None = None) -> str:
        """A digest of θ_λ as written; empty where that was not wholly on the CPU.

        Args:
            among: the parameters that count; None for all that were written.
        """
        written = self.findings.written
        if written.keys() != self._moments.keys():
            return ""
        keys = sorted(key for key in written if among is None or key in among)
        lines = "\n".join(f"{key} {written[key]}" for key in keys)
        return "weights-" + hashlib.sha256(lines.encode()).hexdigest()[:32]

    def knots(self, key: str) -> tuple[Slice, ...]:
        """One parameter of every checkpoint."""
        return tuple(of[key] for of in self.pair.slices)

    def ends(self, key: str, leg: int = 0) -> tuple[Slice, Slice]:
        """One parameter of the two checkpoints of a leg."""
        base, instruct = self.knots(key)[leg : leg + 2]
        return base, instruct

    def path(self, key: str, lam: float) -> tuple[Slice, Slice, float]:
        """The two that θ_λ is between, and how far: θ_base, the end that the method gives, λ.

        Of a path those of the leg that λ is on, and λ there (see `lam.path.place`).
        """
        leg, there = place(lam, self.pair.legs)
        base, instruct = map(held, self.ends(key, leg))
        return base, self.end(key, base, instruct, lam), there

    def end(self, key: str, base: Slice, instruct: Slice, lam: float) -> Slice:
        """What the method makes of the second end of a leg (see `methods`)."""
        leg, there = place(lam, self.pair.legs)
        return self._methods[leg].end(key, base, instruct, there)

    def integers(self, key: str) -> torch.Tensor:
        """A tensor of integers, which no λ can move; not to be written to.

        Raises:
            PairError: two checkpoints have other ones.
        """
        first, *others = (knot[...] for knot in self.knots(key))
        for checkpoint, other in zip(self.pair.knots[1:], others, strict=True):
            if not torch.equal(first, other):
                raise PairError(
                    f"{key} holds integers that differ between base and {checkpoint.role}."
                )
        return first

    @torch.no_grad()
    def tensor(self, key: str, lam: float, dtype: torch.dtype) -> torch.Tensor:
        """θ_λ of one parameter, and both its ends examined.

        Args:
            key: its name.
            lam: its λ.
            dtype: of the result; integers keep their own.

        Raises:
            PairError: integers that differ between the two ends.
        """
        base = self.knots(key)[0]
        if not base.dtype.is_floating_point:
            self.findings.examine(key, lam, None)
            return self.integers(key).clone()
        out = torch.empty(base.get_shape(), dtype=dtype)
        self.write_(out, key, lam)
        self.findings.examine(key, lam, out)
        return out

    def write_(self, out: torch.Tensor, key: str, lam: float) -> None:
        """θ_λ of one parameter into `out`, and its moments into the records."""
        seed = None if self.seed is None else tensor_seed(self.seed, key)
        interpolate_(out, *self.path(key, lam), seed=seed)
        self.measure(out, key, lam)
        self.findings.note_written(key, lam, out)

    def measure(self, out: torch.Tensor, key: str, lam: float) -> None:
        """Moments of θ_λ of one parameter (`out`) into the records."""
        found = moments(out, *self.path(key, lam), every_element=self._every_element)
        leg, _ = place(lam, self.pair.legs)  # λ_eff counts the legs before as well
        self._moments[key] = lam, replace(found, dot=found.dot + leg * found.delta)
