"""What is learnt of tensors while they pass by: checksums, NaN and Inf, values out of range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pa_harness.checkpoints.adapters.adapter import adapter_fingerprint
from pa_harness.checkpoints.checkpoint import checksum, is_finite
from pa_harness.checkpoints.pair import is_adapter
from pa_harness.checkpoints.stamps import changed, shortened, stamps
from pa_harness.errors import CheckpointError, PAHarnessError, listed
from pa_harness.lam.path import place

if TYPE_CHECKING:
    from pa_harness.checkpoints.pair import Pair


class Findings:
    """Of the checkpoints of one pair or path, and the θ_λ made of them.

    Attributes:
        checksums: per checkpoint (by role) and parameter, `checksum` of the tensor as it was read.
        written: per parameter, `checksum` of θ_λ as it was last written, where that happened
            on the CPU.
    """

    def __init__(self, pair: Pair, *, check_finite: bool) -> None:
        self.checksums: dict[str, dict[str, int]] = {each.role: {} for each in pair.knots}
        self.written: dict[str, int] = {}
        self._pair, self._check_finite = pair, check_finite
        self._not_finite: list[str] = []
        self._overflowed: dict[str, float] = {}
        self._contents: dict[str, str] = {}
        self._stamps = {end.role: end.stamps for end in pair.knots}

    def examine(self, key: str, lam: float, out: torch.Tensor | None) -> None:
        """Checksum both ends of λ's leg, and note NaN or Inf in them; once for every key.

        Args:
            key: of the tensor.
            lam: its λ.
            out: θ_λ, which shows what is not finite but at λ = 0 and 1; None where it is not made.
        """
        leg, there = place(lam, self._pair.legs)
        unread = [n for n in (leg, leg + 1) if self._is_unread(n, key)]
        if unread:
            shows = out is None or there in (0.0, 1.0) or not is_finite(out)
            for number in unread:
                self._read(number, key, suspect=shows)

    def _is_unread(self, number: int, key: str) -> bool:
        """Whether a checkpoint's tensor has no checksum; adapters were checked when read."""
        knot = self._pair.knots[number]
        return not is_adapter(knot) and key not in self.checksums[knot.role]

    def _read(self, number: int, key: str, *, suspect: bool) -> None:
        role, value = self._pair.knots[number].role, self._pair.slices[number][key][...]
        self.checksums[role][key] = checksum(value)
        if self._check_finite and suspect and not is_finite(value):
            self._not_finite.append(f"{role} {key}")

    def note_written(self, key: str, lam: float, out: torch.Tensor) -> None:
        """Keep the checksum of θ_λ, and whether it left the range of its dtype."""
        self.written.pop(key, None)
        if out.device.type == "cpu":
            self.written[key] = checksum(out)
        leg, there = place(lam, self._pair.legs)
        ends = [of[key].dtype for of in self._pair.slices[leg : leg + 2]]
        may = not 0 <= there <= 1 or any(_range(end) > _range(out.dtype) for end in ends)
        if self._check_finite and may and not is_finite(out):
            self._overflowed[key] = lam

    def contents(self) -> dict[str, str]:
        """By checkpoint (its role) a digest of its weights, all of them.

        Those that no model has read are read here, one checkpoint after the other.

        Raises:
            CheckpointError: as `check_read`, of what was read here.
        """
        if self._contents:
            return self._contents
        for number, (knot, slices) in enumerate(
            zip(self._pair.knots, self._pair.slices, strict=True)
        ):
            unread = [key for key in slices if self._is_unread(number, key)]
            for key in unread:
                self._read(number, key, suspect=True)
            if unread:
                self.check_read()
            self._contents[knot.role] = (
                adapter_fingerprint(knot)
                if is_adapter(knot)
                else knot.content(self.checksums[knot.role], slices)
            )
        return self._contents

    def check_unchanged(self) -> None:
        """Refuse files whose weights are no longer those of `contents`; costs a look at each file.

        Only where one was written to since (or replaced, or touched) is it read again.

        Raises:
            CheckpointError: some hold other weights, or were cut off.
        """
        for end in self._pair.knots:
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
        """Refuse checkpoints with NaN or Inf.

        Raises:
            CheckpointError: some tensors are not finite.
        """
        broken, self._not_finite = sorted(self._not_finite), []
        if broken:
            raise CheckpointError(
                f"{len(broken)} tensors hold NaN or Inf:\n"
                f"{listed(broken)}\nDo not trust such a checkpoint; take another, or pass "
                "check_finite=False to load it all the same."
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
