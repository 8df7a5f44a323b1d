"""The instruct end of a LoRA pair: W + (α/r)·B·A for every weight that the adapter adapts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pa_harness.checkpoints.parameters import Source, today
from pa_harness.checkpoints.side import read_side
from pa_harness.checkpoints.slices import ComputedSlice
from pa_harness.errors import AdapterError, PairError, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.checkpoints.adapters.adapter import Adapter, LowRank
    from pa_harness.checkpoints.architecture import Architecture
    from pa_harness.checkpoints.side import Side
    from pa_harness.checkpoints.slices import Slice


class LoraSlice(ComputedSlice):
    """The instruct end of a LoRA pair, W + scaling·B·A in fp32, computed for the rows read."""

    def __init__(self, base: Slice, delta: LowRank) -> None:
        super().__init__(base.get_shape())
        self._base, self._delta = base, delta

    def rows(self, index: Any) -> torch.Tensor:
        """Some rows of W + scaling·B·A."""
        delta = self._delta.left[index].float() @ self._delta.right.float()
        return torch.add(self._base[index].float(), delta, alpha=self._delta.scaling)


def adapted_sources(adapter: Adapter, base: Side) -> dict[str, Source]:
    """The instruct end of every parameter: W + scaling·B·A where there is a ΔW, else W.

    Modules of any age are found by transformers' own renaming. A ΔW of a tensor that transformers
    fuses with others today (one expert's projection) is added to the tensor of the file.

    Args:
        adapter: the adapter.
        base: the base, read as the model.

    Raises:
        AdapterError: a ΔW for a weight that is tied.
        PairError: a ΔW for no module of this base, or of another shape.
    """
    names = today([f"{module}.weight" for module in adapter.deltas], base.model)
    direct, parts, unknown = {}, {}, []
    for module, delta in adapter.deltas.items():
        key = f"{module}.weight"
        name, is_part = names[key]
        name = base.model.aliases.get(name, name)
        if not is_part and name in base.sources:
            direct[name] = module, delta
        elif is_part and key in base.checkpoint.tensors:
            parts[key] = module, delta
        else:
            unknown.append(module)
    if unknown:
        raise PairError(
            f"{adapter.checkpoint} adapts {len(unknown)} modules that base does not have:\n"
            f"{listed(sorted(unknown))}\nExpected an adapter of this architecture, in names that "
            "transformers knows of it."
        )
    tied = [module for name, (module, _) in direct.items() if name in base.model.aliases.values()]
    if tied:
        raise AdapterError(
            f"{adapter.checkpoint} adapts weights that are tied to another weight:\n"
            f"{listed(sorted(tied))}\n"
            "Merge the adapter into a full model with peft and pass that as instruct=."
        )
    result = dict(base.sources)
    if parts:
        tensors = dict(base.checkpoint.tensors)
        tensors |= _with_deltas(adapter, parts, tensors, transposed=set())
        result = dict(read_side(base.checkpoint, base.model, tensors=tensors).sources)
    slices = {name: source.slice for name, source in result.items()}
    transposed = _transposed(base.model)
    for name, end in _with_deltas(adapter, direct, slices, transposed=transposed).items():
        result[name] = Source(end, {name: end})
    return result


def _with_deltas(
    adapter: Adapter,
    deltas: Mapping[str, tuple[str, LowRank]],
    slices: Mapping[str, Slice],
    *,
    transposed: set[str],
) -> dict[str, Slice]:
    """The slices to which something is added."""
    result: dict[str, Slice] = {}
    wrong = []
    for name, (module, delta) in deltas.items():
        oriented = delta.transposed() if name in transposed else delta
        shape = [oriented.left.shape[0], oriented.right.shape[1]]
        if shape != slices[name].get_shape():
            wrong.append(f"{module}: base {slices[name].get_shape()}, adapter {shape}")
            continue
        copy = adapter.copies.get(module)
        if copy is not None and not torch.equal(slices[name][...].to(copy.dtype), copy):
            wrong.append(f"{module}: the adapter was trained on other weights than base's")
        result[name] = LoraSlice(slices[name], oriented)
    if wrong:
        raise PairError(
            f"{adapter.checkpoint} does not fit base:\n{listed(wrong)}\nCheck the pair."
        )
    return result


def _transposed(model: Architecture) -> set[str]:
    """Weights of layers that store them as [in, out]."""
    from transformers.pytorch_utils import Conv1D

    modules = model.shell.named_modules()
    return {f"{name}.weight" for name, module in modules if isinstance(module, Conv1D)}
