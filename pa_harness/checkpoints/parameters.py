"""Which tensors of a file make which parameters, by transformers' own conversion, both ways.

Names of every age, prefixes and fused layouts are its business. What is found here is, for every
parameter of an architecture, a slice that gives its value, and the tensors that it is made of.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import torch

from pa_harness.checkpoints.slices import ComputedSlice, Slice, TensorSlice
from pa_harness.errors import CheckpointError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pa_harness.checkpoints.architecture import Architecture


@dataclass(frozen=True)
class Source:
    """Where a parameter's value comes from.

    Attributes:
        slice: the value.
        parts: key -> the file's tensors that it is made of.
    """

    slice: Slice
    parts: Mapping[str, Slice]


@dataclass(frozen=True)
class Found:
    """What a file has of an architecture.

    Attributes:
        sources: by parameter, under every name that the state dict has for it.
        unknown: keys that are no parameter's -> what transformers calls them today.
    """

    sources: dict[str, Source]
    unknown: dict[str, str]


class Assembly:
    """Tensors of a file that transformers converts together; they make one parameter or several."""

    def __init__(self, converter: Any, first: str, model: Architecture) -> None:
        """No tensors yet.

        Args:
            converter: transformers' `WeightConverter`.
            first: name of the (first) parameter that it makes.
            model: the architecture.
        """
        self._converter, self._first, self._model = converter, first, model
        self.tensors: list[tuple[str, str, Slice]] = []  # pattern that matched, key, tensor

    @property
    def dequantises(self) -> bool:
        """Whether quantised values are among the tensors."""
        return any(hasattr(op, "hf_quantizer") for op in self._converter.operations)

    @property
    def stacked(self) -> bool:
        """Whether row i of the parameter is made of the i-th tensors alone (fused experts)."""
        from transformers.core_model_loading import Concatenate, MergeModulelist

        operations = [op for op in self._converter.operations if not hasattr(op, "hf_quantizer")]
        return (
            bool(operations)
            and isinstance(operations[0], MergeModulelist)
            and operations[0].dim == 0
            and all(isinstance(op, Concatenate) and op.dim > 0 for op in operations[1:])
        )

    def shapes(self) -> dict[str, list[int]]:
        """Names of the parameters that it makes, and their shapes; nothing is read."""
        made = self._convert(lambda _, s: torch.empty(s.get_shape(), dtype=s.dtype, device="meta"))
        return {name: list(tensor.shape) for name, tensor in made.items()}

    def read(self, name: str, rows: Any) -> torch.Tensor:
        """The parameter of that name; where it is `stacked`, only these rows of it are read."""
        if rows is ... or not self.stacked:
            return self._convert(lambda _, s: s[...])[name][rows]
        patterns = [pattern for pattern, _, _ in self.tensors]
        start, stop, _ = rows.indices(patterns.count(patterns[0]))
        return self._convert(lambda i, s: s[...] if start <= i < stop else None)[name]

    def _convert(
        self, read: Callable[[int, Slice], torch.Tensor | None]
    ) -> dict[str, torch.Tensor]:
        """Let transformers convert what `read` gives for number and tensor; None: left out."""
        converter = copy.copy(self._converter)
        converter.collected_tensors = defaultdict(list)
        converter.layer_targets = defaultdict(set)
        numbers: dict[str, int] = defaultdict(int)
        for pattern, key, tensor in self.tensors:
            value = read(numbers[pattern], tensor)
            numbers[pattern] += 1
            if value is not None:
                converter.add_tensor(self._first, key, pattern, partial(_given, value))
        shell = self._model.shell
        made = converter.convert(self._first, model=shell, config=shell.config)
        return {name: v[0] if isinstance(v, list) else v for name, v in made.items()}


class AssembledSlice(ComputedSlice):
    """A parameter that is made of several tensors of a file."""

    def __init__(self, assembly: Assembly, name: str, shape: list[int], dtype: torch.dtype) -> None:
        super().__init__(shape, dtype)
        self._assembly, self._name = assembly, name
        self.by_rows = assembly.stacked

    def rows(self, index: Any) -> torch.Tensor:
        """Converted for these rows, or where that is not possible, whole and then cut."""
        return self._assembly.read(self._name, index)


def find_parameters(
    tensors: Mapping[str, Slice], model: Architecture, quantizer: Any = None
) -> Found:
    """What the tensors of a file are in an architecture.

    Args:
        tensors: by key.
        model: the architecture.
        quantizer: transformers' quantizer of the file, which dequantises; None for plain files.

    Raises:
        CheckpointError: transformers cannot convert some of the tensors.
    """
    names = _Names(model, quantizer)
    sources: dict[str, Source] = {}
    unknown: dict[str, str] = {}
    groups: dict[str, Assembly] = {}
    for key in _in_order(tensors):
        name, pattern = names.of(key)
        if name not in names.state or (pattern is None and name in sources):  # the first one counts
            unknown[key] = name
        elif pattern is None:
            sources[name] = Source(tensors[key], {key: tensors[key]})
        else:
            group = groups.setdefault(name, Assembly(names.converters[pattern], name, model))
            group.tensors.append((pattern, key, tensors[key]))
    for first, group in groups.items():
        parts = {key: tensor for _, key, tensor in group.tensors}
        for name, shape in _shapes(group, first, model).items():
            if name not in names.state:
                unknown |= dict.fromkeys(parts, name)
                continue
            if group.dequantises:
                dtype = names.state[name].dtype
            else:
                dtype = reduce(torch.promote_types, (part.dtype for part in parts.values()))
            sources[name] = Source(AssembledSlice(group, name, shape, dtype), parts)
    return Found(sources, unknown)


def today(keys: Iterable[str], model: Architecture) -> dict[str, tuple[str, bool]]:
    """Names of any age -> the parameter's name, and whether more than a new name makes it."""
    names = _Names(model)
    found = {key: names.of(key) for key in _in_order(keys)}
    return {key: (name, pattern is not None) for key, (name, pattern) in found.items()}


class FileLayout:
    """How a checkpoint names and cuts the parameters of an architecture: to write one like it.

    Attributes:
        keys: key -> its tensor's dtype and shape.
        groups: parameters that are written together -> the keys that they make.
    """

    def __init__(
        self, model: Architecture, keys: Iterable[str], names: Iterable[str] | None = None
    ) -> None:
        """As in a checkpoint with these keys, where transformers reads what it would be given.

        Args:
            model: the architecture.
            keys: of the checkpoint.
            names: of the parameters that are written; None for all.
        """
        known = _Names(model)
        for key in _in_order(keys):
            known.of(key)
        self._model = model
        self._empty = {
            name: torch.empty(model.stored[name].shape, dtype=model.dtypes[name], device="meta")
            for name in (model.stored if names is None else names)
        }
        self._conversions = [each for each in known.conversions if each.was_used()]
        if not self._reads_back():
            self._conversions = []  # the parameters' own names, which transformers reads as well
            self._reads_back()

    def to_file(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Tensors by key, of parameters by name: whole `groups`."""
        from transformers.core_model_loading import revert_weight_conversion

        shell: Any = self._model.shell
        shell._weight_conversions = self._conversions  # noqa: SLF001 -- as its own loader leaves it
        made: dict[str, torch.Tensor] = revert_weight_conversion(shell, dict(tensors))
        wanted = self.groups.get(tuple(tensors))
        if wanted is not None and made.keys() != set(wanted):  # some renamings look at other names
            made = revert_weight_conversion(shell, {**self._empty, **tensors})
        return made if wanted is None else {key: made[key] for key in wanted}

    def _reads_back(self) -> bool:
        self.groups: dict[tuple[str, ...], list[str]] = {}
        try:
            written = self.to_file(self._empty)
        except (ValueError, KeyError, RuntimeError, IndexError, NotImplementedError):
            return False  # some conversions cannot be undone
        self.keys = {key: (tensor.dtype, tuple(tensor.shape)) for key, tensor in written.items()}
        given = {key: TensorSlice(tensor) for key, tensor in written.items()}
        found = find_parameters(given, self._model).sources
        groups: dict[tuple[str, ...], list[str]] = {}
        for name, source in found.items():
            groups.setdefault(tuple(source.parts), []).append(name)
        self.groups = {tuple(names): list(keys) for keys, names in groups.items()}
        shapes = {name: source.slice.get_shape() for name, source in found.items()}
        return shapes == {name: list(tensor.shape) for name, tensor in self._empty.items()}


class _Names:
    """From keys to names, as transformers' loader goes through them.

    Attributes:
        conversions: all of transformers' for the model.
        converters: those that do more than rename, by the pattern that they match.
        state: the model's state dict.
    """

    def __init__(self, model: Architecture, quantizer: Any = None) -> None:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming

        self.conversions: list[Any] = get_model_conversion_mapping(model.shell, None, quantizer)
        self._renamings = [each for each in self.conversions if isinstance(each, WeightRenaming)]
        self._converting = [each for each in self.conversions if isinstance(each, WeightConverter)]
        self.converters = {p: each for each in self._converting for p in each.source_patterns}
        self.state: dict[str, torch.Tensor] = model.shell.state_dict()
        self._prefix = str(getattr(model.shell, "base_model_prefix", ""))

    def of(self, key: str) -> tuple[str, str | None]:
        """Name of the parameter (or the first of them), and the pattern of its converter if any."""
        from transformers.core_model_loading import rename_source_key

        known = self._prefix, self.state
        name, pattern = rename_source_key(key, self._renamings, self._converting, *known)
        if name not in self.state and key in self.state:
            name, pattern = rename_source_key(key, [], [], *known)
        return name, pattern


def _in_order(keys: Iterable[str]) -> list[str]:
    """As transformers' loader goes through them: experts by number, guards first."""
    from transformers.core_model_loading import dot_natural_key

    return sorted(keys, key=dot_natural_key)


def _shapes(group: Assembly, first: str, model: Architecture) -> dict[str, list[int]]:
    try:
        return group.shapes()
    except Exception as error:
        if group.dequantises:  # not every dequantisation can do without values
            return {first: list(model.shell.state_dict()[first].shape)}
        keys = [key for _, key, _ in group.tensors]
        raise CheckpointError(
            f"{model.checkpoint}: transformers cannot make {first} of {len(keys)} tensors, "
            f"{keys[0]} the first of them: {first_line(error)}\nCheck that config.json is of these "
            "weights."
        ) from error


def _given(value: torch.Tensor) -> torch.Tensor:
    return value
