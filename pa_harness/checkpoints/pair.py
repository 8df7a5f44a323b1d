"""Two checkpoints that belong together, checked before any weight moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pa_harness.checkpoints.configuration import choose_config, read_config
from pa_harness.checkpoints.slices import LongerSlice
from pa_harness.checkpoints.vocabulary import check_vocabulary
from pa_harness.errors import PairError, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PretrainedConfig

    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.checkpoints.slices import Slice


@dataclass(frozen=True)
class Pair:
    """The two ends of λ.

    Attributes:
        base: the checkpoint at λ = 0.
        instruct: the checkpoint at λ = 1: a full model, or the adapter of a LoRA pair.
        config: the configuration M_λ runs with.
        base_slices: checkpoint key -> θ_base.
        instruct_slices: checkpoint key -> θ_instruct, same keys and shapes.
        notes: what to warn of; goes into the results as well.
    """

    base: Checkpoint
    instruct: Checkpoint
    config: PretrainedConfig
    base_slices: Mapping[str, Slice]
    instruct_slices: Mapping[str, Slice]
    notes: tuple[str, ...] = ()

    @property
    def is_lora(self) -> bool:
        """Whether the instruct side is an adapter on the base."""
        return self.instruct.role == "peft"

    @property
    def dtype(self) -> torch.dtype:
        """The narrowest dtype in which both ends are exact: theirs, or fp32 when they differ.

        Of a LoRA pair the base's, to which the sum of base and ΔW is rounded.
        """
        kinds = {
            tensor.dtype
            for slices in (self.base_slices, {} if self.is_lora else self.instruct_slices)
            for tensor in slices.values()
            if tensor.dtype.is_floating_point and len(tensor.get_shape()) > 1
        }
        kinds = kinds or {torch.float32}
        return kinds.pop() if len(kinds) == 1 else torch.float32


def full_pair(
    base: Checkpoint,
    instruct: Checkpoint,
    *,
    config_from: str | None = None,
    extra_rows: str = "refuse",
    trust_remote_code: bool = False,
) -> Pair:
    """Check two full checkpoints: configuration, tensors, vocabulary.

    A LoRA pair does not come here: `weights.opening` checks the adapter against its base.

    Args:
        base: the checkpoint at λ = 0.
        instruct: the checkpoint at λ = 1.
        config_from: see `configuration.choose_config`.
        extra_rows: what to do when one vocabulary has more rows: "refuse", or "copy" the extra
            rows from the longer side (shared rows are interpolated; the shorter side's end is then
            no longer exactly that checkpoint, because the extra rows take part in the softmax).
        trust_remote_code: as in transformers.

    Raises:
        CheckpointError: one side cannot be read.
        PairError: the two do not belong together. Everything of one kind is named at once.
    """
    configs = [read_config(side, trust_remote_code=trust_remote_code) for side in (base, instruct)]
    config, notes = choose_config(configs[0], configs[1], config_from)
    ours, theirs = dict(base.slices), dict(instruct.slices)
    _check_same_keys(ours, theirs, tied=bool(getattr(config, "tie_word_embeddings", False)))
    notes += _match_shapes(ours, theirs, configs, config, extra_rows)
    notes += check_vocabulary(base, instruct, trust_remote_code=trust_remote_code)
    return Pair(base, instruct, config, ours, theirs, tuple(notes))


def _check_same_keys(ours: dict[str, Slice], theirs: dict[str, Slice], *, tied: bool) -> None:
    """Both sides must store the same tensors; a tied copy that one side spells out is dropped."""
    for slices, other in ((ours, theirs), (theirs, ours)):
        for key in [key for key in slices if key not in other]:
            if tied and _is_copy_of_another(slices, key):
                del slices[key]
    differences = [
        *(f"{key}: only in base" for key in ours if key not in theirs),
        *(f"{key}: only in instruct" for key in theirs if key not in ours),
    ]
    if differences:
        raise PairError(
            f"{len(differences)} of {len(ours.keys() | theirs.keys())} tensors are in one "
            f"checkpoint only:\n{listed(differences)}\nThe two must share one architecture. Check "
            "that instruct= was tuned from pretrained=, and that both were saved in one layout."
        )


def _is_copy_of_another(slices: Mapping[str, Slice], key: str) -> bool:
    shape, value = slices[key].get_shape(), slices[key][...]
    embeddings = [name for name in slices if name != key and ("embed" in name or "wte" in name)]
    return any(
        slices[name].get_shape() == shape and torch.equal(slices[name][...], value)
        for name in embeddings
    )


def _match_shapes(
    ours: dict[str, Slice],
    theirs: dict[str, Slice],
    configs: list[PretrainedConfig],
    config: PretrainedConfig,
    extra_rows: str,
) -> list[str]:
    different = [key for key in ours if ours[key].get_shape() != theirs[key].get_shape()]
    if not different:
        return []
    lines = [
        f"{key}: base {ours[key].get_shape()}, instruct {theirs[key].get_shape()}"
        for key in different
    ]
    rows = [_vocab_size(side) for side in configs]
    only_rows = all(
        [ours[key].get_shape()[0], theirs[key].get_shape()[0]] == rows
        and ours[key].get_shape()[1:] == theirs[key].get_shape()[1:]
        for key in different
    )
    if not only_rows:
        raise PairError(
            f"{len(different)} of {len(ours)} tensors differ in shape:\n{listed(lines)}\n"
            "The two must share one architecture. Check that instruct= was tuned from pretrained=."
        )
    if extra_rows != "copy":
        raise PairError(
            f"The vocabularies have {rows[0]} (base) and {rows[1]} (instruct) rows:\n"
            f"{listed(lines)}\nIf the extra rows are added or padded tokens, pass extra_rows=copy: "
            "shared rows are interpolated, the extra ones copied from the longer side."
        )
    for key in different:
        if rows[0] < rows[1]:
            ours[key] = LongerSlice(ours[key], theirs[key])
        else:
            theirs[key] = LongerSlice(theirs[key], ours[key])
    config.get_text_config().vocab_size = max(rows)
    shorter = "base" if rows[0] < rows[1] else "instruct"
    return [
        f"{abs(rows[0] - rows[1])} extra embedding rows copied from the longer side (base "
        f"{rows[0]}, instruct {rows[1]}): the {shorter}'s end is not exactly that checkpoint"
    ]


def _vocab_size(config: PretrainedConfig) -> int:
    return int(config.get_text_config().vocab_size)
