"""θ_λ of a pair, tensor by tensor: λ of each, its values, what rounding left, a fingerprint.

What holds the tensors then brings them there: a transformers model (`models.loading`), an engine
(`models.vllm.weights`), a checkpoint (`export.model`).
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import torch

from pa_harness.checkpoints.slices import held
from pa_harness.errors import PairError
from pa_harness.lam.reading import check_lam
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
    """θ_λ of one pair.

    Attributes:
        pair: the two ends.
        dtype: of θ_λ.
        lam: the λ that a model has of it; None while that is being changed, and before.
        method: the way along the path.
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
            pair: the checked pair.
            seed: None, or the seed of stochastic rounding (bf16 only).
            every_element: measure λ_eff over every element instead of a sample.
            check_finite: refuse NaN and infinities in either checkpoint.
            method: the way along the path; None is linear.
        """
        self.pair, self.dtype = pair, pair.model.dtype
        self.lam: Lam | None = None
        self.findings = Findings(pair, check_finite=check_finite)
        self.seed, self._every_element = seed, every_element
        self.method = Method(method or Setting())
        self._moments: dict[str, tuple[float, Moments]] = {}  # λ of the tensor, and its sums

    def per_tensor(self, lam: Lam) -> dict[str, float]:
        """λ of every parameter; a rule of a schedule that matches none is a ModelArgsError."""
        keys = self.pair.base_slices
        lams = lam.per_tensor(keys) if isinstance(lam, Schedule) else dict.fromkeys(keys, lam)
        for each in set(lams.values()):
            check_lam(each)  # warns of extrapolation
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

    def ends(self, key: str) -> tuple[Slice, Slice]:
        """θ_base and θ_instruct of one parameter."""
        return self.pair.base_slices[key], self.pair.instruct_slices[key]

    def path(self, key: str, lam: float) -> tuple[Slice, Slice]:
        """θ_base and the end that the method gives (see `methods`): θ_λ is between the two."""
        base, instruct = map(held, self.ends(key))
        return base, self.method.end(key, base, instruct, lam)

    def integers(self, key: str) -> torch.Tensor:
        """A tensor of integers, which no λ can move; not to be written to.

        Raises:
            PairError: base and instruct have other ones.
        """
        base, instruct = (end[...] for end in self.ends(key))
        if not torch.equal(base, instruct):
            raise PairError(f"{key} holds integers that differ between base and instruct.")
        return base

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
        base, _ = self.ends(key)
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
        interpolate_(out, *self.path(key, lam), lam, seed=seed)
        self.measure(out, key, lam)
        self.findings.note_written(key, lam, out)

    def measure(self, out: torch.Tensor, key: str, lam: float) -> None:
        """Moments of θ_λ of one parameter (`out`) into the records."""
        found = moments(out, *self.path(key, lam), lam, every_element=self._every_element)
        self._moments[key] = lam, found
