"""θ_λ in an inference engine: sent to its workers, checked and measured here, from the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pa_harness.checkpoint import is_finite
from pa_harness.errors import PairError
from pa_harness.interpolation import moments
from pa_harness.lazy_tensor import LazyTensor, Origin
from pa_harness.loading import AdaptedWeights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Report = dict[str, list[str]]  # of one worker: `read` keys, `missing` parameters


class EngineWeights(AdaptedWeights):
    """θ_λ of one pair for an engine that holds the parameters in processes of its own."""

    def examine_all(self) -> None:
        """Checksums of both sides, and that all is finite; one pass over the files."""
        for key, base in self.pair.base_slices.items():
            self.examine(key, 0.0, None)
            if not base.dtype.is_floating_point and self._differs(key):
                raise PairError(f"{key} holds integers that differ between base and instruct.")
        self._check_loaded({"missing_keys": [], "unexpected_keys": []})

    def send(self, lam: float, to_workers: Callable[[float], Sequence[Report]]) -> None:
        """Change λ in the engine, from the originals.

        Args:
            lam: λ.
            to_workers: has every worker load θ_λ; returns what each reports.

        Raises:
            PairError: parameters of the engine got no weights.
            PAHarnessError: λ takes weights out of the dtype's range.
        """
        first, self.lam = self.lam is None and not self._moments, None
        self._overflowed = []
        for key, base in self.pair.base_slices.items():
            if base.dtype.is_floating_point:
                self._measure(key, lam)
        self._check_overflow(lam)
        reports = to_workers(lam)
        missing = sorted({name for report in reports for name in report["missing"]})
        read = {key for report in reports for key in report["read"]}
        unread = sorted(self.pair.base_slices.keys() - read)
        if missing or first:
            self._check_loaded({"missing_keys": missing, "unexpected_keys": unread})
        self.lam = lam

    def _measure(self, key: str, lam: float) -> None:
        """λ_eff of what the workers compute; only the sampled part is computed here."""
        ends = self.ends(key)
        tensor = LazyTensor(Origin(key, ends, lam, self.dtype, self.seed))
        self._moments[key] = moments(tensor, *ends, lam, every_element=self._every_element)
        if self._check_finite and not 0 <= lam <= 1 and not is_finite(tensor.compute()):
            self._overflowed.append(key)

    def _differs(self, key: str) -> bool:
        import torch

        left: Any = self.pair.base_slices[key][...]
        return not torch.equal(left, self.pair.instruct_slices[key][...])
