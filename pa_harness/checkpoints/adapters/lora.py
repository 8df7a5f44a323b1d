"""The instruct end of a LoRA pair: W + (α/r)·B·A for every weight that the adapter adapts."""

from __future__ import annotations

import re
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
        left, right = self._delta.left[index], self._delta.right
        delta = left.float() @ (right[index] if right.dim() == 3 else right).float()
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
    direct, parts, unknown = {}, {}, []
    for module, (name, is_part) in places(adapter, base.model).items():
        delta = adapter.deltas[module]
        if not is_part and name in base.sources:
            direct[name] = module, delta
        elif is_part and name in base.checkpoint.tensors:
            parts[name] = module, delta
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
        tensors |= _with_deltas(adapter, parts, tensors, set())
        result = dict(read_side(base.checkpoint, base.model, tensors=tensors).sources)
    slices = {name: source.slice for name, source in result.items()}
    for name, end in _with_deltas(adapter, direct, slices, _transposed(base.model)).items():
        result[name] = Source(end, {name: end})
    return result


def _with_deltas(
    adapter: Adapter,
    deltas: Mapping[str, tuple[str, LowRank]],
    slices: Mapping[str, Slice],
    transposed: set[str],
) -> dict[str, Slice]:
    """The slices to which something is added."""
    result: dict[str, Slice] = {}
    wrong = []
    for name, (module, delta) in deltas.items():
        shape = slices[name].get_shape()
        stacked = delta.stacked(shape[0]) if len(shape) == 3 else delta
        oriented = stacked.transposed() if name in transposed else stacked
        if [*oriented.left.shape[:-1], oriented.right.shape[-1]] != shape:
            factors = f"{list(delta.left.shape)} and {list(delta.right.shape)}"
            wrong.append(f"{module}: base {shape}, the adapter's factors {factors}")
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


def places(adapter: Adapter, model: Architecture) -> dict[str, tuple[str, bool]]:
    """By module of the adapter: the parameter; or the file's key, and True, where it is a part.

    The name is one of any age, with or without the wrapper of a text model. Factors of parameters
    that are no layer's weight (peft's target_parameters: stacked experts) stand under their module,
    the last one of it first and the others each under one `base_layer` more.
    """
    spelled = {module: _spellings(module, model.decoder) for module in adapter.deltas}
    keys = [f"{each}.weight" for names in spelled.values() for each in names]
    names = today(keys, model)
    found = {}
    for module, spellings in spelled.items():
        places = [(f"{each}.weight", *names[f"{each}.weight"]) for each in spellings]
        place = next((each for each in places if each[2] or each[1] in model.shell_names), None)
        if place is not None:
            key, name, is_part = place
            found[module] = (key, True) if is_part else (model.aliases.get(name, name), False)
        else:
            found[module] = _stacked_parameter(module, adapter, model), False
    return found


def _spellings(module: str, text: str) -> list[str]:
    """A module as it is written, and inside the text model, whose path is given."""
    rest = re.sub(r"^(model\.)?(language_model\.)?(model\.)?", "", module)
    return list(dict.fromkeys([module, f"{text}.{rest}" if text else rest]))


def _stacked_parameter(module: str, adapter: Adapter, model: Architecture) -> str:
    """The parameter of a module that peft adapts by name; empty where there is none."""
    inner = module.replace(".base_layer", "")
    depth = module.count(".base_layer")
    for path in _spellings(inner, model.decoder):
        held = dict(model.shell.named_modules()).get(path)
        own = [] if held is None else [name for name, _ in held.named_parameters(recurse=False)]
        names = [f"{path}.{name}" for name in own]
        adapted = [n for n in names if any(f".{n}".endswith(f".{t}") for t in adapter.parameters)]
        if depth < len(adapted):
            return adapted[-1 - depth]
    return ""


def _transposed(model: Architecture) -> set[str]:
    """Weights of layers that store them as [in, out]."""
    from transformers.pytorch_utils import Conv1D

    modules = list(model.shell.named_modules())
    found = {f"{name}.weight" for name, module in modules if isinstance(module, Conv1D)}
    stacked = [(n, m) for n, m in modules if getattr(m, "is_transposed", False)]  # gpt-oss' experts
    for path, module in stacked:
        found |= {f"{path}.{name}" for name, _ in module.named_parameters(recurse=False)}
    return found
