"""Checkpoints that belong together, two or a path of more, checked before any weight moves.

They meet as parameters of one model: each is first read as what `hf` makes of it (`side`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from pa_harness.checkpoints.adapters.adapter import read_adapter
from pa_harness.checkpoints.adapters.lora import adapted_sources
from pa_harness.checkpoints.architecture import Architecture, text_model
from pa_harness.checkpoints.configuration import read_config
from pa_harness.checkpoints.dtypes import common_dtype, rounded
from pa_harness.checkpoints.meeting import as_model, interchangeable, meet, read_text
from pa_harness.checkpoints.parameters import Source
from pa_harness.checkpoints.slices import LongerSlice, equal_values
from pa_harness.checkpoints.vocabulary import check_vocabulary
from pa_harness.errors import AdapterError, PairError, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PretrainedConfig

    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.checkpoints.slices import Slice


@dataclass(frozen=True)
class Rules:
    """How a pair may be made; the model arguments of these names.

    Attributes:
        dtype: of θ_λ; None follows the files (see `dtypes.common_dtype`).
        config_from: see `configuration.choose_config`.
        extra_rows: what to do when one vocabulary has more rows: "refuse", or "copy" the extra
            rows from the longer side (shared rows are interpolated; the shorter side's end is then
            no longer exactly that checkpoint, because the extra rows take part in the softmax).
        renamed_tokens: see `vocabulary.check_vocabulary`.
        dequantize: whether FP8 and MXFP4 are dequantised, or refused.
        trust_remote_code: as in transformers.
    """

    dtype: torch.dtype | None = None
    config_from: str | None = None
    extra_rows: str = "refuse"
    renamed_tokens: str = "refuse"
    dequantize: bool = True
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Pair:
    """Two checkpoints, or the three and more of a path, as the parameters of one model.

    λ leads through them in their order: of a pair from base to instruct, of K from 0 to K − 1.

    Attributes:
        knots: those at λ = 0, 1, …, K − 1: full models, or adapters on the one before.
        model: what θ_λ are the parameters of.
        sources: of each, name of a parameter or stored buffer in `model.stored` -> its values; same
            names and shapes.
        notes: what to warn of; goes into the results as well.
    """

    knots: tuple[Checkpoint, ...]
    model: Architecture
    sources: tuple[Mapping[str, Source], ...]
    notes: tuple[str, ...] = ()

    @property
    def base(self) -> Checkpoint:
        """The checkpoint at λ = 0."""
        return self.knots[0]

    @property
    def instruct(self) -> Checkpoint:
        """The last checkpoint, at λ = `legs`: of a pair the instruct model or adapter."""
        return self.knots[-1]

    @property
    def legs(self) -> int:
        """How many pairs of neighbours there are."""
        return len(self.knots) - 1

    @property
    def full(self) -> list[Checkpoint]:
        """Those that are no adapters, the last one first."""
        return [each for each in reversed(self.knots) if not is_adapter(each)]

    @property
    def config(self) -> PretrainedConfig:
        """The configuration θ_λ runs with."""
        return self.model.config

    @cached_property
    def slices(self) -> tuple[Mapping[str, Slice], ...]:
        """Of each checkpoint, name -> its values."""
        return tuple({name: each.slice for name, each in of.items()} for of in self.sources)

    @property
    def base_slices(self) -> Mapping[str, Slice]:
        """Name -> the values of θ_base."""
        return self.slices[0]


def is_adapter(checkpoint: Checkpoint) -> bool:
    """Whether it was named as an adapter on the one before."""
    return checkpoint.role.startswith("peft")


def open_stages(knots: Sequence[Checkpoint], rules: Rules) -> Pair:
    """Check every pair of neighbours; a path is theirs, joined.

    Args:
        knots: two or more; an adapter stands behind a full checkpoint.
        rules: how two may be paired.

    Raises:
        CheckpointError, PairError, AdapterError: as of a pair; or two neighbours hold the same
            weights; or the legs of a path are not parameters of one model.
    """
    if len(knots) > 2:  # all have one dtype
        full = [each for each in knots if not is_adapter(each)]
        asked, rules = rules.dtype, replace(rules, dtype=rules.dtype or common_dtype(*full))
    legs: list[Pair] = []
    for before, after in pairwise(knots):
        try:
            legs.append(_leg(before, after, rules, legs))
        except (AdapterError, PairError) as error:
            ends = f"{before} → {after} (base and instruct of leg {len(legs) + 1} of the path): "
            raise type(error)(f"{ends if len(knots) > 2 else ''}{error}") from None
    if len(legs) == 1:
        return legs[0]
    for number, leg in enumerate(legs):
        _check_joins(legs[0], leg, number)
    chosen = legs[0] if rules.config_from == "base" else legs[-1]
    notes = [note for leg in legs for note in leg.notes]
    sources = (*(leg.sources[0] for leg in legs), legs[-1].sources[1])
    for knot, own in zip(knots, sources, strict=True):
        if asked is None and not is_adapter(knot):
            notes += rounded(knot, chosen.model, own)
    return Pair(tuple(knots), chosen.model, sources, tuple(dict.fromkeys(notes)))


def _leg(before: Checkpoint, after: Checkpoint, rules: Rules, legs: Sequence[Pair]) -> Pair:
    """Two neighbours, behind the legs that are known."""
    if is_adapter(after):  # it is known to have been trained
        return lora_pair(before, after, rules)
    if is_adapter(before):  # what it makes of its base is no file; that is what is checked
        leg = full_pair(legs[-1].base, after, rules)
        leg = replace(leg, sources=(legs[-1].sources[1], leg.sources[1]))
    else:
        leg = full_pair(before, after, rules)
    if equal_values(*leg.slices):
        raise PairError(
            f"{before} and {after} hold the same weights, so λ changes nothing. Name two different "
            "checkpoints."
        )
    return leg


def _check_joins(first: Pair, leg: Pair, number: int) -> None:
    """Refuse a leg whose parameters are not named and shaped as the first one's."""
    shapes = [{n: s.get_shape() for n, s in each.base_slices.items()} for each in (first, leg)]
    odd = sorted(
        n for n in shapes[0].keys() | shapes[1].keys() if len({str(s.get(n)) for s in shapes}) > 1
    )
    if odd or first.model.cls is not leg.model.cls:
        raise PairError(
            f"{first.base} → {first.instruct} are parameters of another model than "
            f"{leg.base} → {leg.instruct} (leg {number + 1} of the path):\n"
            f"{listed(odd or [first.model.cls.__name__, leg.model.cls.__name__])}\n"
            "All checkpoints of a path must have one form: the same rows of the vocabulary, a tied "
            "head in all or none, no wrapper of images beside text models. Save them in one form."
        )


def full_pair(base: Checkpoint, instruct: Checkpoint, rules: Rules) -> Pair:
    """Check two full checkpoints: configuration, parameters, vocabulary.

    A LoRA pair does not come here: `lora_pair` checks the adapter against its base.

    Args:
        base: the checkpoint at λ = 0.
        instruct: the checkpoint at λ = 1.
        rules: how they may be paired.

    Raises:
        CheckpointError: one side cannot be read.
        PairError: the two do not belong together. Everything of one kind is named at once.
    """
    configs = [read_config(s, trust_remote_code=rules.trust_remote_code) for s in (base, instruct)]
    dtype = rules.dtype or common_dtype(base, instruct)
    models = [
        # of models that bring their own code, the base's: a class of each folder is another class
        Architecture(*text_model(config, base if configs[0].auto_map else side), dtype, side)
        for config, side in zip(configs, (base, instruct), strict=True)
    ]
    model, names, notes = meet(models[0], models[1], rules.config_from)
    found: list[dict[str, Source]] = []
    for config, own, known in zip(configs, models, names, strict=True):
        side = own.checkpoint
        own = model if interchangeable(own, model) else own
        read = read_text(side, config, own, dequantize=rules.dequantize)
        sources, left = as_model(read, model, known)
        found.append(sources)
        notes += [*read.notes, *left]
        if rules.dtype is None:
            notes += rounded(side, model, sources)
    ours, theirs = found
    _check_same(ours, theirs)
    model, rows = _match_rows(ours, theirs, model, rules.extra_rows)
    trust = rules.trust_remote_code
    notes += rows + check_vocabulary(
        base, instruct, trust_remote_code=trust, renamed=rules.renamed_tokens
    )
    return Pair((base, instruct), model, (ours, theirs), tuple(dict.fromkeys(notes)))


def lora_pair(base: Checkpoint, adapter: Checkpoint, rules: Rules) -> Pair:
    """A base, and the adapter that makes it the instruct model.

    Raises:
        CheckpointError: the base cannot be read.
        AdapterError: the adapter is not linear in λ.
        PairError: the two do not belong together.
    """
    config = read_config(base, trust_remote_code=rules.trust_remote_code)
    dtype = rules.dtype or common_dtype(base)
    model = Architecture(*text_model(config, base), dtype, base)
    side = read_text(base, config, model, dequantize=rules.dequantize)
    notes = [*side.notes, *(rounded(base, model, side.sources) if rules.dtype is None else ())]
    theirs = adapted_sources(read_adapter(adapter), side)
    return Pair((base, adapter), model, (side.sources, theirs), tuple(notes))


def _check_same(ours: Mapping[str, Source], theirs: Mapping[str, Source]) -> None:
    differences = [
        *(f"{name}: only in base" for name in ours if name not in theirs),
        *(f"{name}: only in instruct" for name in theirs if name not in ours),
    ]
    if differences:
        raise PairError(
            f"{len(differences)} of {len(ours.keys() | theirs.keys())} parameters are in one "
            f"checkpoint only:\n{listed(differences)}\nThe two must share one architecture. Check "
            "that instruct= was tuned from pretrained=."
        )


def _match_rows(
    ours: dict[str, Source], theirs: dict[str, Source], model: Architecture, extra_rows: str
) -> tuple[Architecture, list[str]]:
    """Give both sides the rows that one vocabulary has more; the model then, and what to say."""
    shapes = {n: (ours[n].slice.get_shape(), theirs[n].slice.get_shape()) for n in ours}
    different = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
    if not different:
        return model, []
    lines = [f"{name}: base {b}, instruct {i}" for name, (b, i) in different.items()]
    rows = {(b[0], i[0]) for b, i in different.values() if b and i}
    vocabularies = _vocabulary_rows(model)
    if (
        len(rows) != 1
        or any(b[1:] != i[1:] for b, i in different.values())
        or not vocabularies >= different.keys()
    ):
        raise PairError(
            f"{len(different)} of {len(ours)} parameters differ in shape:\n{listed(lines)}\n"
            "The two must share one architecture. Check that instruct= was tuned from pretrained=."
        )
    before, after = rows.pop()
    if extra_rows != "copy":
        raise PairError(
            f"The vocabularies have {before} (base) and {after} (instruct) rows:\n"
            f"{listed(lines)}\nIf the extra rows are added or padded tokens, pass extra_rows=copy: "
            "shared rows are interpolated, the extra ones copied from the longer side."
        )
    for name in different:
        short, long = (ours, theirs) if before < after else (theirs, ours)
        longer = LongerSlice(short[name].slice, long[name].slice)
        short[name] = Source(longer, short[name].parts)
    shorter = "base" if before < after else "instruct"
    return model.with_config(vocab_size=max(before, after)), [
        f"{abs(before - after)} extra embedding rows copied from the longer side (base "
        f"{before}, instruct {after}): the {shorter}'s end is not exactly that checkpoint"
    ]


def _vocabulary_rows(model: Architecture) -> set[str]:
    """Parameters that have a row for every token."""
    rows = int(model.config.get_text_config().vocab_size)
    return {name for name, tensor in model.stored.items() if tensor.shape[:1] == (rows,)}
