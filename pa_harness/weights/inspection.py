"""What is learnt of tensors while they pass by: checksums, NaN and Inf, values out of range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pa_harness.checkpoints.adapter import adapter_fingerprint
from pa_harness.checkpoints.checkpoint import checksum, is_finite
from pa_harness.checkpoints.lora import LoraSlice
from pa_harness.errors import CheckpointError, PAHarnessError, PairError, listed

if TYPE_CHECKING:
    from pa_harness.checkpoints.pair import Pair


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

    def examine(self, key: str, lam: float, out: torch.Tensor | None) -> None:
        """Checksum both ends, and note NaN or Inf in them; once for every key.

        Args:
            key: of the tensor.
            lam: its λ.
            out: θ_λ, which shows what is not finite but at λ = 0 and 1; None where it is not made.
        """
        pair = self._pair
        if key in self.checksums["base"]:
            return
        ends = {"base": pair.base_slices[key], "instruct": pair.instruct_slices[key]}
        suspect = self._check_finite and (out is None or lam in (0.0, 1.0) or not is_finite(out))
        for side, end in ends.items():
            if isinstance(end, LoraSlice) or (side == "instruct" and end is ends["base"]):
                continue  # a LoRA pair: the adapter was checked when it was read
            value = end[...]
            self.checksums[side][key] = checksum(value)
            if suspect and not is_finite(value):
                self._not_finite.append(f"{side} {key}")

    def note_written(self, key: str, lam: float, out: torch.Tensor) -> None:
        """Keep the checksum of θ_λ, and whether it left the range of its dtype."""
        self.written.pop(key, None)
        if out.device.type == "cpu":
            self.written[key] = checksum(out)
        ends = self._pair.base_slices[key].dtype, self._pair.instruct_slices[key].dtype
        may = not 0 <= lam <= 1 or any(_range(end) > _range(out.dtype) for end in ends)
        if self._check_finite and may and not is_finite(out):
            self._overflowed[key] = lam

    def fingerprints(self) -> dict[str, str]:
        """By side: its commit hash, or for a local folder a digest of its content."""
        base, instruct = self._pair.base, self._pair.instruct
        ours = self._pair.base_slices
        found = {base.role: base.fingerprint(self.checksums["base"], ours)}
        if self._pair.is_lora:
            return {**found, instruct.role: adapter_fingerprint(instruct)}
        theirs = instruct.fingerprint(self.checksums["instruct"], self._pair.instruct_slices)
        return {**found, instruct.role: theirs}

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
                f"{listed(sorted(beyond))}\nUse dtype=float32 (or bfloat16), or a λ nearer to 0 "
                "and 1."
            )


def _range(dtype: torch.dtype) -> float:
    """The greatest number that it holds; 0 of integers."""
    return torch.finfo(dtype).max if dtype.is_floating_point else 0.0
