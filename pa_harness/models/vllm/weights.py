"""θ_λ in an inference engine: sent to its workers, checked and measured here, from the files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pa_harness.checkpoints.parameters import AssembledSlice
from pa_harness.errors import PairError, listed
from pa_harness.models.vllm.lazy_tensor import LazyTensor, Origin
from pa_harness.weights.adapted import AdaptedWeights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pa_harness.checkpoints.pair import Pair
    from pa_harness.checkpoints.slices import Slice
    from pa_harness.lam.schedule import Lam

Taken = dict[str, list[str]]  # by one worker: what it `read`; its own parameters `missing`


class EngineWeights(AdaptedWeights):
    """θ_λ of one pair for an engine that holds the parameters in processes of its own."""

    def examine_all(self) -> None:
        """Checksums of all checkpoints, and that all is finite; one pass over the files.

        Raises:
            PairError: the method goes over whole parameters, of which the engine reads parts.
        """
        assembled = [
            name
            for name, source in self.pair.sources[0].items()
            if isinstance(source.slice, AssembledSlice)
        ]
        if assembled and self.method.name != "linear":
            raise PairError(
                f"method={self.method.name} goes over {assembled[0]} as a whole, and vLLM reads it "
                "in parts, which would be other weights. Use --model partially_adapted, or export "
                "θ_λ and load that."
            )
        self.findings.contents()
        for key, base in self.pair.base_slices.items():
            if not base.dtype.is_floating_point:
                self.integers(key)  # must be equal

    def send(
        self, lam: Lam, to_workers: Callable[[Mapping[str, float]], Sequence[Taken]]
    ) -> list[str]:
        """Change λ in the engine, from the originals.

        Args:
            lam: λ, or a schedule of it.
            to_workers: has every worker load θ_λ, given λ by parameter; returns what each
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
        if missing:
            raise PairError(
                f"{len(missing)} parameters of vLLM's {self.pair.model.cls.__name__} got no "
                f"weights:\n{listed(missing)}\nUse --model partially_adapted."
            )
        read = {name for report in reports for name in report["read"]}
        unread = sorted(self.pair.base_slices.keys() - read)
        self.lam = lam
        if not unread or not first:
            return []
        return [f"vLLM has no use for {len(unread)} parameters:\n{listed(unread)}"]

    def _measure(self, key: str, lam: float) -> None:
        """λ_eff of what the workers compute; only the sampled part is computed here."""
        *ends, there = self.path(key, lam)
        tensor = LazyTensor(Origin(key, (ends[0], ends[1]), there, self.dtype, self.seed))
        self.measure(tensor, key, lam)
        self.findings.written.pop(key, None)
        if not 0 <= there <= 1:
            self.findings.note_written(key, lam, tensor.compute())


@dataclass(frozen=True)
class Named:
    """A tensor as a file has it, which is how an engine's loading knows it.

    Attributes:
        key: its name there.
        parameter: of which it is all or a part.
        knots: of every checkpoint, where it is a part; None where it is all.
    """

    key: str
    parameter: str
    knots: tuple[Slice, ...] | None = None


def as_in_files(pair: Pair) -> Iterator[Named]:
    """Every parameter of a pair under the base's names; those that transformers fuses in parts.

    Where the base's files are a wrapper's, and the model is its text alone, under its own names.

    Raises:
        PairError: two checkpoints have the parts of one in other layouts.
    """
    written = pair.base.read_json("config.json").get("architectures") or []
    is_wrapped = bool(written) and pair.model.cls.__name__ not in written
    for name, base in pair.sources[0].items():
        others = [of[name] for of in pair.sources[1:]]
        quantised = any(part.dtype.itemsize == 1 for part in base.parts.values())
        if not isinstance(base.slice, AssembledSlice) or quantised:
            yield Named(name if quantised or is_wrapped else next(iter(base.parts)), name)
            continue
        if is_wrapped:
            raise PairError(
                f"{name} is made of several tensors of a {written[0]} "
                f"({', '.join(list(base.parts)[:2])}, …), which vLLM's {pair.model.cls.__name__} "
                "does not know. Use --model partially_adapted, or export θ_λ and load that."
            )
        for knot, other in zip(pair.knots[1:], others, strict=True):
            if base.parts.keys() != other.parts.keys():
                raise PairError(
                    f"{name} is made of other tensors in base ({', '.join(list(base.parts)[:2])}, "
                    f"…) than in {knot.role} ({', '.join(list(other.parts)[:2])}, …), and vLLM "
                    "reads them one by one. Use --model partially_adapted, or export θ_λ and load "
                    "that."
                )
        for key, part in base.parts.items():
            yield Named(key, name, (part, *(other.parts[key] for other in others)))
