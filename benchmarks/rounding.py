"""What rounding leaves of λ, by arithmetic and by size of the difference: λ_eff and noise.

``python -m benchmarks.rounding``
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmarks.support.real_pair import add_options, real_pair
from benchmarks.support.report import publish, table
from pa_harness.checkpoints.hub import open_checkpoint
from pa_harness.checkpoints.pair import Rules, full_pair
from pa_harness.checkpoints.slices import ComputedSlice, TensorSlice
from pa_harness.weights.effective_lam import effective_lam, moments
from pa_harness.weights.interpolation import interpolate_, tensor_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.demo.pair import Pair
    from pa_harness.checkpoints.slices import Slice
    from pa_harness.weights.effective_lam import EffectiveLam

_LAMS = (0.1, 0.3, 0.5, 0.7, 0.9)
_RELATIVE_DELTAS = (0.1, 0.03, 0.01, 0.003)
_SHAPE = (2048, 2048)  # of a synthetic tensor; 4.2 million elements
_SIZE = 0.02  # standard deviation of a synthetic base

Ends = dict[str, tuple["Slice", "Slice"]]


@dataclass(frozen=True)
class Arithmetic:
    """How θ_λ is stored."""

    label: str
    dtype: torch.dtype
    seed: int | None = None


_ARITHMETICS = (
    Arithmetic("bf16, nearest", torch.bfloat16),
    Arithmetic("bf16, stochastic", torch.bfloat16, seed=0),
    Arithmetic("fp16", torch.float16),
    Arithmetic("fp32", torch.float32),
)


def main(given: argparse.Namespace) -> None:
    """Measure, and publish the table."""
    rows: list[tuple[str, ...]] = []
    pair = real_pair(given)
    for label, ends in _pairs(pair):
        for arithmetic in _ARITHMETICS:
            exact = len(ends) == 1  # a whole model, forty times, would take half an hour
            found = [_measure(ends, lam, arithmetic, every_element=exact) for lam in _LAMS]
            size = f"{100 * found[0].relative_delta:.2g} %"
            rows.append((label, size, arithmetic.label, *map(_cell, found)))
            print(*rows[-1], sep=" | ", flush=True)
    head = ("pair", "relative delta", "θ_λ stored as", *(f"λ = {lam}" for lam in _LAMS))
    text = (
        "Cells: λ_eff (rounding noise, in percent of ‖θ_instruct − θ_base‖); from every element of "
        "the synthetic pairs, and from pa-harness' sample of every tensor of the real one. "
        f"Synthetic: one {_SHAPE[0]} × {_SHAPE[1]} tensor a pair, base and difference normal, both "
        f"ends bf16. Real: {'; '.join(pair.description.splitlines())}. Nothing is "
        "repeated: no figure depends on timing.\n\n" + table(head, rows)
    )
    publish("rounding", text, command="python -m benchmarks.rounding")


def _pairs(pair: Pair) -> Iterator[tuple[str, Ends]]:
    for relative in _RELATIVE_DELTAS:
        yield "synthetic, bf16 ends", {"synthetic": _synthetic(relative)}
    sides = open_checkpoint(pair.base, "base"), open_checkpoint(pair.instruct, "instruct")
    opened = full_pair(*sides, Rules())
    base, instruct = opened.slices
    name = str(opened.model.dtype).removeprefix("torch.")
    yield f"real, as it is ({name})", {key: (base[key], instruct[key]) for key in base}
    if opened.model.dtype is not torch.bfloat16:
        yield (
            "real, ends rounded to bf16",
            {key: (_Bf16(base[key]), _Bf16(instruct[key])) for key in base},
        )


class _Bf16(ComputedSlice):
    """A slice that is rounded to bf16 when it is read: most published checkpoints are bf16."""

    def __init__(self, source: Slice) -> None:
        super().__init__(source.get_shape(), torch.bfloat16)
        self._source = source

    def __getitem__(self, index: object) -> torch.Tensor:
        return self._source[index].bfloat16()


def _synthetic(relative: float) -> tuple[Slice, Slice]:
    generator = torch.Generator().manual_seed(0)
    base = (torch.empty(_SHAPE).normal_(0, _SIZE, generator=generator)).bfloat16()
    change = torch.empty(_SHAPE).normal_(0, _SIZE * relative, generator=generator)
    return TensorSlice(base), TensorSlice((base.float() + change).bfloat16())


def _measure(
    ends: Ends, lam: float, arithmetic: Arithmetic, *, every_element: bool
) -> EffectiveLam:
    parts = []
    for key, (base, instruct) in ends.items():
        out = torch.empty(base.get_shape(), dtype=arithmetic.dtype)
        seed = None if arithmetic.seed is None else tensor_seed(arithmetic.seed, key)
        interpolate_(out, base, instruct, lam, seed=seed)
        parts.append(moments(out, base, instruct, lam, every_element=every_element))
    return effective_lam(parts)


def _cell(found: EffectiveLam) -> str:
    return f"{found.lam_eff:.4f} ({100 * found.rounding_noise:.2g})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    main(parser.parse_args())
