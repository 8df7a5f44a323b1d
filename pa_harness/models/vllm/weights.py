"""θ_λ in an inference engine: sent to its workers, checked and measured here, from the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pa_harness.models.vllm.lazy_tensor import LazyTensor, Origin
from pa_harness.weights.adapted import AdaptedWeights
from pa_harness.weights.architecture import left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pa_harness.lam.schedule import Lam

Taken = dict[str, list[str]]  # by one worker: the keys it `read`; parameters `missing`


class EngineWeights(AdaptedWeights):
    """θ_λ of one pair for an engine that holds the parameters in processes of its own."""

    def examine_all(self) -> None:
        """Checksums of both sides, and that all is finite; one pass over the files."""
        for key, base in self.pair.base_slices.items():
            self.findings.examine(key, 0.0, None)
            if not base.dtype.is_floating_point:
                self.integers(key)  # must be equal
        self.findings.check_read()

    def send(
        self, lam: Lam, to_workers: Callable[[Mapping[str, float]], Sequence[Taken]]
    ) -> list[str]:
        """Change λ in the engine, from the originals.

        Args:
            lam: λ, or a schedule of it.
            to_workers: has every worker load θ_λ, given λ by checkpoint key; returns what each
                reports.

        Returns:
            What to warn of.

        Raises:
            PairError: parameters of the engine got no weights.
            PAHarnessError: λ takes weights out of the dtype's range.
        """
        first, self.lam = self.lam is None and not self._moments, None
        lams = self.per_tensor(lam)
        for key, base in self.pair.base_slices.items():
            if base.dtype.is_floating_point:
                self._measure(key, lams[key])
        self.findings.check_written(self.dtype)
        reports = to_workers(lams)
        missing = sorted({name for report in reports for name in report["missing"]})
        read = {key for report in reports for key in report["read"]}
        unread = sorted(self.pair.base_slices.keys() - read)
        notes: list[str] = []
        if missing or first:
            info = {"missing_keys": missing, "unexpected_keys": unread}
            notes = left_out(self.pair.config, self.pair.base_slices, info)
        self.lam = lam
        return notes

    def _measure(self, key: str, lam: float) -> None:
        """λ_eff of what the workers compute; only the sampled part is computed here."""
        tensor = LazyTensor(Origin(key, self.path(key, lam), lam, self.dtype, self.seed))
        self.measure(tensor, key, lam)
        self.findings.written.pop(key, None)
        if not 0 <= lam <= 1:
            self.findings.note_written(key, lam, tensor.compute())
