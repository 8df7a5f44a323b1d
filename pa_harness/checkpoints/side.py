"""One checkpoint as the model that `hf` makes of it: a value for every parameter."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pa_harness.checkpoints.architecture import layer_shape
from pa_harness.checkpoints.initialisation import InitialisedSlice
from pa_harness.checkpoints.parameters import Source, find_parameters
from pa_harness.checkpoints.quantised import method_of, quantizer_of, refuse
from pa_harness.errors import CheckpointError, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pa_harness.checkpoints.architecture import Architecture
    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.checkpoints.parameters import Found
    from pa_harness.checkpoints.slices import Slice


@dataclass(frozen=True)
class Side:
    """A checkpoint, read (lazily) as a model.

    Attributes:
        checkpoint: its files.
        model: the architecture.
        sources: every parameter and stored buffer of `model.stored` -> its value; those are absent
            that transformers computes where no file has them.
        notes: what to warn of.
    """

    checkpoint: Checkpoint
    model: Architecture
    sources: Mapping[str, Source]
    notes: tuple[str, ...] = ()


def read_side(
    checkpoint: Checkpoint,
    model: Architecture,
    *,
    dequantize: bool = True,
    tensors: Mapping[str, Slice] | None = None,
) -> Side:
    """Every parameter of the model, from the checkpoint's files.

    A parameter that others are tied to counts once; where a file spells out several of them, it is
    the one that transformers ties the others to.

    Args:
        checkpoint: the files.
        model: what they are read as.
        dequantize: see `quantised.quantizer_of`.
        tensors: what to read in the place of the files' own, by key.

    Raises:
        CheckpointError: parameters are missing (`hf` would fill them at random) or of another
            shape, the configuration has fewer layers than the files, or these are quantised.
    """
    quantizer = quantizer_of(checkpoint, dequantize=dequantize)
    found = find_parameters(tensors or checkpoint.tensors, model, quantizer)
    _check_layers(checkpoint, model, found)
    used = {key for source in found.sources.values() for key in source.parts}
    notes = [*checkpoint.notes, *_left_out(checkpoint, found.unknown, used)]
    if quantizer is not None:
        notes.append(
            f"{checkpoint}: {method_of(checkpoint)} values are dequantised to {model.dtype}"
        )
    sources = {}
    for name in model.stored:
        names = [name, *(alias for alias, of in model.aliases.items() if of == name)]
        spelled = [each for each in names if each in found.sources]
        if not spelled:
            continue
        source = found.sources[spelled[0]]
        notes += _unequal(checkpoint, source, {n: found.sources[n] for n in spelled[1:]})
        if name in model.overwritten:
            written = InitialisedSlice(source.slice, model.shell, name, model.overwritten[name])
            source = Source(written, source.parts)
        sources[name] = source
    _check_complete(checkpoint, model, sources)
    if quantizer is None and (method := method_of(checkpoint)):
        notes.append(
            f"{checkpoint}: config.json names a quantisation ({method}), the files hold none"
        )
    return Side(checkpoint, model, sources, tuple(notes))


def grouped(keys: Iterable[str]) -> list[str]:
    """Names, those that differ in numbers only as one line with their count."""
    counts = Counter(layer_shape(key).replace(".0.", ".*.") for key in keys)
    return [f"{name} ({count})" if count > 1 else name for name, count in counts.items()]


def outside(left: Iterable[str], kept: Iterable[str]) -> list[str]:
    """Names that were left, by the outermost module of which nothing was kept, with their count."""
    inside = {name[: dot.start()] for name in kept for dot in re.finditer(r"\.", name)}
    modules: dict[str, list[str]] = {}
    for name in left:
        paths = (name[: dot.start()] for dot in re.finditer(r"\.", name))
        path = next((path for path in paths if path not in inside), name)
        below = "" if path == name else ".*"
        modules.setdefault(layer_shape(path).replace(".0.", ".*.") + below, []).append(name)
    return [f"{m} ({len(n)})" if len(n) > 1 else n[0] for m, n in modules.items()]


def _left_out(checkpoint: Checkpoint, keys: Iterable[str], kept: Iterable[str]) -> list[str]:
    """What to say of tensors that the architecture has no use for."""
    ends = ("rotary_emb.inv_freq", ".masked_bias", "position_ids")  # computed today, saved once
    left = [key for key in keys if not key.endswith(ends)]
    if not left:
        return []
    return [
        f"{checkpoint}: {len(left)} tensors have no place in this architecture and were left out:\n"
        f"{listed(outside(left, kept))}"
    ]


def _unequal(checkpoint: Checkpoint, source: Source, others: Mapping[str, Source]) -> list[str]:
    """What to say of tied parameters that a file spells out with other values."""
    odd = [
        name
        for name, other in others.items()
        if other.slice.get_shape() != source.slice.get_shape()
        or not torch.equal(other.slice[...], source.slice[...].to(other.slice.dtype))
    ]
    return [
        f"{checkpoint}: the file's own {name} differs from {next(iter(source.parts))}, which "
        "config.json ties it to; as with hf, the tied value counts, and the file's own (which "
        "from_pretrained alone keeps) is left out"
        for name in odd
    ]


def _check_layers(checkpoint: Checkpoint, model: Architecture, found: Found) -> None:
    names = set(found.unknown.values())
    names -= model.tolerated(names, missing=False) | found.sources.keys()
    shapes = {layer_shape(name) for name in found.sources}
    layers = {_layer(name) for name in found.sources}
    beyond = [name for name in names if layer_shape(name) in shapes and _layer(name) not in layers]
    if beyond:
        raise CheckpointError(
            f"{checkpoint}: config.json has too few layers for {len(beyond)} tensors:\n"
            f"{listed(grouped(sorted(beyond)))}\nCheck that config.json is the one these weights "
            "were saved with."
        )


def _layer(name: str) -> str:
    """A parameter's name up to its (first) layer number."""
    return re.split(r"(?<=\.\d)\d*\.", name, maxsplit=1)[0] if re.search(r"\.\d", name) else ""


def _check_complete(
    checkpoint: Checkpoint, model: Architecture, sources: Mapping[str, Source]
) -> None:
    missing = set(model.stored) - set(sources)
    missing -= model.tolerated(missing, missing=True)
    integers = [n for n, s in sources.items() if _is_packed(s, model.stored[n])]
    if (missing or integers) and method_of(checkpoint):
        refuse(checkpoint, sorted({*_packed_keys(checkpoint)} or checkpoint.tensors))
    problems = [f"{name}: missing" for name in sorted(missing)]
    problems += [f"{name}: integers" for name in sorted(integers)]
    problems += [
        f"{name}: {source.slice.get_shape()}, config.json asks for {list(model.stored[name].shape)}"
        for name, source in sources.items()
        if source.slice.get_shape() != list(model.stored[name].shape)
    ]
    if problems:
        raise CheckpointError(
            f"{checkpoint} does not fit {model.cls.__name__} as config.json describes it (hf would "
            f"fill what is missing at random):\n{listed(problems)}\nCheck that config.json is the "
            "one these weights were saved with, and that the weights are complete."
        )


def _is_packed(source: Source, stored: torch.Tensor) -> bool:
    """Whether integers stand where the model has floating values."""
    return stored.is_floating_point() and not source.slice.dtype.is_floating_point


def _packed_keys(checkpoint: Checkpoint) -> list[str]:
    return [k for k, t in checkpoint.tensors.items() if not t.dtype.is_floating_point]
