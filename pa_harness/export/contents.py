"""What an exported checkpoint holds: every tensor of one side's form, with θ_λ in it.

A wrapper (of images or sounds) is written whole: the parameters that were evaluated, and the rest,
at λ where both sides have it, else as the one side has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pa_harness.checkpoints.architecture import Architecture, whole_model
from pa_harness.checkpoints.configuration import read_config
from pa_harness.checkpoints.meeting import names_in
from pa_harness.checkpoints.pair import Pair, is_adapter
from pa_harness.checkpoints.parameters import FileLayout
from pa_harness.checkpoints.side import Side, outside, read_side
from pa_harness.errors import CheckpointError, ExportError, listed
from pa_harness.lam.schedule import Schedule
from pa_harness.weights.adapted import AdaptedWeights

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.checkpoints.parameters import Source
    from pa_harness.weights.opening import Opened


@dataclass(frozen=True)
class Part:
    """A parameter of the exported model.

    Attributes:
        weights: θ_λ that it is of.
        name: there.
        lam: λ.
    """

    weights: AdaptedWeights
    name: str
    lam: float


class Contents:
    """The tensors of an export, made when they are asked for, one group at a time.

    Attributes:
        model: the exported model.
        layout: how its files name and cut it.
        notes: what to say of tensors that were not evaluated.
    """

    def __init__(self, opened: Opened, like: str) -> None:
        """Plan the export.

        Args:
            opened: the pair and λ.
            like: "instruct" (the last) or "base": whose form it has. Where the last is an adapter
                the base's.

        Raises:
            CheckpointError, PairError: a side cannot be read.
        """
        weights, pair = opened.weights, opened.weights.pair
        shape = pair.base if like == "base" or is_adapter(pair.instruct) else pair.instruct
        lams = weights.per_tensor(opened.args.lam)
        self.notes: list[str] = []
        whole = _whole(shape, pair, trust_remote_code=opened.trust_remote_code)
        names = None if whole.cls is pair.model.cls else names_in(whole, pair.model)
        if names is None:
            self.model = pair.model
            self._parts = {name: Part(weights, name, lams[name]) for name in lams}
        else:
            self.model = _as_evaluated(whole, pair.model)
            self._parts = {
                theirs: Part(weights, ours, lams[ours])
                for theirs, ours in names.items()
                if ours in lams and theirs in self.model.stored
            }
            if pair.legs > 1:
                raise ExportError(
                    f"{shape} is a wrapper of images or sounds. On a path of {len(pair.knots)} "
                    "checkpoints only text models are exported: save the text models first."
                )
            self._add_rest(opened, whole, [side for side in pair.full if side is not shape])
        self.layout = FileLayout(self.model, shape.tensors, self._parts)
        self._group_of = {key: names for names, keys in self.layout.groups.items() for key in keys}
        self._made: dict[str, torch.Tensor] = {}

    def tensor(self, key: str) -> torch.Tensor:
        """The tensor of a key, once; those of its group wait until they are asked for."""
        if key not in self._made:
            made = {}
            for name in self._group_of[key]:
                part = self._parts[name]
                dtype = self.model.dtypes[name]
                made[name] = part.weights.tensor(part.name, part.lam, dtype)
            self._made |= self.layout.to_file(made)
        return self._made.pop(key)

    def check(self) -> None:
        """Refuse values out of the range of the dtype, of what was not evaluated.

        Raises:
            PAHarnessError: there are some.
        """
        rest = {id(part.weights): part.weights for part in self._parts.values()}
        for weights in rest.values():
            weights.findings.check_written(weights.dtype)

    def _add_rest(self, opened: Opened, whole: Architecture, others: list[Checkpoint]) -> None:
        """The parameters that were not evaluated."""
        weights, lam, shape = opened.weights, opened.args.lam, whole.checkpoint
        ours = _rest(read_side(shape, whole, dequantize=opened.args.dequantize), self._parts)
        theirs: Mapping[str, Source] = {}
        for other in others:
            try:
                config = read_config(other, trust_remote_code=opened.trust_remote_code)
                found = whole_model(config, other)
                if found[0] is whole.cls:
                    model = Architecture(*found, weights.dtype, other)
                    read = read_side(other, model, dequantize=opened.args.dequantize)
                    theirs = _rest(read, self._parts)
            except CheckpointError as error:
                raise ExportError(
                    f"{other} cannot be read as the whole that {shape} is: {error}"
                ) from error
        alone = [name for name in ours if name not in theirs]
        if alone:
            self.notes.append(
                f"{len(alone)} tensors are {shape.role}'s alone, and are written as they are:\n"
                f"{listed(outside(alone, self._parts))}"
            )
        both = {name: theirs.get(name, source) for name, source in ours.items()}
        ends = (ours, both) if shape is weights.pair.base else (both, ours)
        pair = Pair(weights.pair.knots, self.model, ends)
        rest = AdaptedWeights(pair, seed=weights.seed, method=opened.args.setting)
        number = lam.number(lam.base) if isinstance(lam, Schedule) else lam
        self._parts |= {name: Part(rest, name, number) for name in ours}


def _whole(shape: Checkpoint, pair: Pair, *, trust_remote_code: bool) -> Architecture:
    config = read_config(shape, trust_remote_code=trust_remote_code)
    return Architecture(*whole_model(config, shape), pair.model.dtype, shape)


def _as_evaluated(whole: Architecture, text: Architecture) -> Architecture:
    """A wrapper with the vocabulary and the head of the text model that was evaluated."""
    rows = [model.config.get_text_config().vocab_size for model in (whole, text)]
    if rows[0] != rows[1]:
        whole = whole.with_config(vocab_size=rows[1])
    if whole.aliases and not text.aliases:
        whole = whole.with_config(tie_word_embeddings=False)
    return whole


def _rest(side: Side, known: Mapping[str, Part]) -> dict[str, Source]:
    return {name: source for name, source in side.sources.items() if name not in known}
