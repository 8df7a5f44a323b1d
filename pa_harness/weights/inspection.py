"""What is learnt of tensors while they pass by: checksums, NaN and Inf, values out of range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pa_harness.checkpoints.adapters.adapter import adapter_fingerprint
from pa_harness.checkpoints.adapters.lora import LoraSlice
from pa_harness.checkpoints.checkpoint import checksum, is_finite
from pa_harness.checkpoints.stamps import changed, shortened, stamps
from pa_harness.errors import CheckpointError, PAHarnessError, PairError, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pa_harness.checkpoints.pair import Pair
    from pa_harness.checkpoints.slices import Slice


class Findings:
    """Of one pair and the θ_λ made of it.

    Attributes:
        checksums: per side and parameter, `checksum` of the tensor, known after loading.
        written: per parameter, `checksum` of θ_λ as it was last written, where that happened
            on the CPU.
    """

    def __init__(self, pair: Pair, *, check_finite: bool) -> None:
        self.checksums: dict[str, dict[str, int]] = {"base": {}, "instruct": {}}
        self.written: dict[str, int] = {}
        self._pair, self._check_finite = pair, check_finite
        self._not_finite: list[str] = []
        self._overflowed: dict[str, float] = {}
        self._contents: dict[str, str] = {}
        self._stamps = {end.role: end.stamps for end in (pair.base, pair.instruct)}

    def examine(self, key: str, lam: float, out: torch.Tensor | None) -> None:
        """Checksum both ends, and note NaN or Inf in them; once for every key.

        Args:
            key: of the tensor.
            lam: its λ.
            out: θ_λ, which shows what is not finite but at λ = 0 and 1; None where it is not made.
        """
        if key in self.checksums["base"]:
            return
        suspect = self._check_finite and (out is None or lam in (0.0, 1.0) or not is_finite(out))
        for side, end in self._ends(key):
            value = end[...]
            self.checksums[side][key] = checksum(value)
            if suspect and not is_finite(value):
                self._not_finite.append(f"{side} {key}")

    def _ends(self, key: str) -> Iterator[tuple[str, Slice]]:
        """The ends that are read from files; a LoRA pair's adapter was checked when it was read."""
        pair = self._pair
        base, instruct = pair.base_slices[key], pair.instruct_slices[key]
        yield "base", base
        if not isinstance(instruct, LoraSlice) and instruct is not base:
            yield "instruct", instruct

    def note_written(self, key: str, lam: float, out: torch.Tensor) -> None:
        """Keep the checksum of θ_λ, and whether it left the range of its dtype."""
        self.written.pop(key, None)
        if out.device.type == "cpu":
            self.written[key] = checksum(out)
        ends = self._pair.base_slices[key].dtype, self._pair.instruct_slices[key].dtype
        may = not 0 <= lam <= 1 or any(_range(end) > _range(out.dtype) for end in ends)
        if self._check_finite and may and not is_finite(out):
            self._overflowed[key] = lam

    def contents(self) -> dict[str, str]:
        """By side a digest of its weights, all of them.

        Those that no model has read yet are read here.
        """
        if not self._contents:
            for key in self._pair.base_slices:
                if key not in self.checksums["base"]:
                    for side, end in self._ends(key):
                        self.checksums[side][key] = checksum(end[...])
            base, instruct = self._pair.base, self._pair.instruct
            ours, theirs = self._pair.base_slices, self._pair.instruct_slices
            other = (
                adapter_fingerprint(instruct)
                if self._pair.is_lora
                else instruct.content(self.checksums["instruct"], theirs)
            )
            own = base.content(self.checksums["base"], ours)
            self._contents = {base.role: own, instruct.role: other}
        return self._contents

    def check_unchanged(self) -> None:
        """Refuse files whose weights are no longer those of `contents`; costs a look at each file.

        Only where one was written to since (or replaced, or touched) is it read again.

        Raises:
            CheckpointError: some hold other weights, or were cut off.
        """
        for end in (self._pair.base, self._pair.instruct):
            before, now = self._stamps[end.role], stamps(end.folder)
            names = changed(before, now)
            if not names:
                continue
            cut = shortened(before, now)
            again = None if cut else Findings(self._pair, check_finite=False).contents()
            if again is None or again[end.role] != self.contents()[end.role]:
                raise CheckpointError(
                    f"{end}: {'cut off' if cut else 'written to'} since it was opened:\n"
                    f"{listed(end.folder / name for name in cut or names)}\nWeights of before and "
                    "after would be mixed. Restore the checkpoint, and leave it alone meanwhile."
                )
            self._stamps[end.role] = now

    def check_read(self) -> None:
        """Refuse checkpoints with NaN or Inf, and a pair of equal ones.

        Raises:
            CheckpointError: some tensors are not finite.
            PairError: the two sides hold the same weights.
        """
        broken, self._not_finite = sorted(self._not_finite), []
        if broken:
            raise CheckpointError(
                f"{len(broken)} tensors hold NaN or Inf:\n"
                f"{listed(broken)}\nDo not trust such a checkpoint; take another, or pass "
                "check_finite=False to load it all the same."
            )
        if self.checksums["base"] and self.checksums["base"] == self.checksums["instruct"]:
            raise PairError(
                f"{self._pair.base} and {self._pair.instruct} hold the same weights, so λ changes "
                "nothing. Check the two arguments."
            )

    def check_written(self, dtype: torch.dtype) -> None:
        """Refuse θ_λ out of the range of its dtype.

        Raises:
            PAHarnessError: λ, or a dtype of a smaller range than the files', made NaN or Inf.
        """
        beyond, self._overflowed = self._overflowed, {}
        if beyond:
            lams = ", ".join(f"{lam}" for lam in sorted(set(beyond.values())))
            raise PAHarnessError(
                f"λ={lams} takes {len(beyond)} tensors out of the range of {dtype}:\n"
                f"{listed(sorted(beyond))}\nUse dtype=float32 (or bfloat16)"
                + (
                    "."
                    if all(0 <= lam <= 1 for lam in beyond.values())
                    else ", or a λ nearer to 0 and 1."
                )
            )


def _range(dtype: torch.dtype) -> float:
    """The greatest number that it holds; 0 of integers."""
    return torch.finfo(dtype).max if dtype.is_floating_point else 0.0
