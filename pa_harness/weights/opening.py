"""From model arguments to weights that are ready to be read at any λ."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from pa_harness.checkpoints.adapter import adapted_slices, read_adapter
from pa_harness.checkpoints.hub import open_checkpoint
from pa_harness.checkpoints.pair import full_pair, lora_pair
from pa_harness.checkpoints.vocabulary import tokenizer_checkpoint
from pa_harness.errors import CheckpointError, ModelArgsError
from pa_harness.weights.adapted import AdaptedWeights
from pa_harness.weights.architecture import concrete_class, make_shell, parameter_sources
from pa_harness.weights.arguments import DEFAULT_PAIR, parse, torch_dtype

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel

    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.checkpoints.pair import Pair
    from pa_harness.weights.arguments import ModelArgs

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply
W = TypeVar("W", bound=AdaptedWeights)


@dataclass(frozen=True)
class Opened:
    """What model arguments stand for.

    Attributes:
        args: ours, checked.
        weights: θ_λ, unread.
        cls: the model class.
        tokenizer: the checkpoint whose tokenizer is used.
        trust_remote_code: as given.
    """

    args: ModelArgs
    weights: AdaptedWeights
    cls: type[PreTrainedModel]
    tokenizer: Checkpoint
    trust_remote_code: bool


def open_weights(model_args: Mapping[str, Any]) -> Opened:
    """θ_λ as `--model partially_adapted` with these arguments would evaluate it, unread.

    Args:
        model_args: as for the model.

    Raises:
        ModelArgsError, CheckpointError, PairError, AdapterError: as the model does.
    """
    from lm_eval.models.huggingface import HFLM

    args, rest = parse(model_args, HFLM.__init__)
    trust = bool(rest.get("trust_remote_code"))
    pair = open_pair(args, trust_remote_code=trust)
    weights, cls = adapted_weights(args, pair, rest.get("dtype"), AdaptedWeights), model_class(pair)
    if args.peft:
        attach_adapter(pair, cls)
    return Opened(args, weights, cls, tokenizer_source(rest.get("tokenizer"), pair), trust)


def tokenizer_source(name: str | None, pair: Pair) -> Checkpoint:
    """The checkpoint whose tokenizer is used at every λ: the named one, else the instruct side's.

    Raises:
        CheckpointError: there is none.
    """
    if name:
        return open_checkpoint(name, "tokenizer", weights=False)
    return tokenizer_checkpoint(pair.instruct, pair.base)


def model_class(pair: Pair) -> type[PreTrainedModel]:
    """The pair's language model class."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.models.auto import modeling_auto

    names = modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    auto = AutoModelForSeq2SeqLM if pair.config.model_type in names else AutoModelForCausalLM
    return concrete_class(auto, pair)


def adapted_weights(args: ModelArgs, pair: Pair, dtype_argument: object, kind: type[W]) -> W:
    """θ_λ of the pair as the arguments want it; nothing is read yet.

    Args:
        args: the model arguments.
        pair: the pair that they name.
        dtype_argument: the weights' dtype; None or "auto" for the pair's own.
        kind: the class that holds it.

    Raises:
        ModelArgsError: stochastic rounding to a dtype it is not defined for.
    """
    dtype = torch_dtype(dtype_argument) or pair.dtype
    if args.rounding == "stochastic" and dtype is not torch.bfloat16:
        raise ModelArgsError(
            f"rounding=stochastic is defined for bfloat16 weights; this pair's are {dtype}. "
            "Pass dtype=bfloat16, or leave rounding out."
        )
    return kind(
        pair,
        dtype,
        seed=args.rounding_seed if args.rounding == "stochastic" else None,
        every_element=args.lam_eff == "tensors",
        check_finite=args.check_finite,
        method=args.setting,
    )


def attach_adapter(pair: Pair, cls: type[PreTrainedModel]) -> None:
    """Make `pair.instruct_slices` the base's tensors plus the adapter's ΔW.

    Raises:
        AdapterError: the adapter is not linear in λ.
        PairError: it does not fit the base.
    """
    adapter = read_adapter(pair.instruct)
    shell = make_shell(pair, cls)
    direct, _ = parameter_sources(shell, pair.base_slices)
    pair.instruct_slices = adapted_slices(adapter, shell, direct, pair.base_slices)


def open_pair(args: ModelArgs, *, trust_remote_code: bool = False) -> Pair:
    """Find both sides that the model arguments name, and check that they belong together.

    Raises:
        CheckpointError: a side cannot be found or read.
        PairError: the two do not belong together.
    """
    if args.uses_default_pair:
        _log.warning("No pair was given: using the small default pair %s and %s.", *DEFAULT_PAIR)
    try:
        base = open_checkpoint(
            args.pretrained, "base", revision=args.revision, subfolder=args.subfolder
        )
        other = open_checkpoint(
            args.instruct or args.peft or "",
            "instruct" if args.instruct else "peft",
            revision=args.instruct_revision,
            subfolder=args.instruct_subfolder,
        )
    except CheckpointError as error:
        if not args.uses_default_pair:
            raise
        raise CheckpointError(
            f"{error}\nNo pair was given, and the default pair is not here. Pass "
            "pretrained=BASE_FOLDER,instruct=INSTRUCT_FOLDER."
        ) from error
    if args.peft:
        return lora_pair(base, other, trust_remote_code=trust_remote_code)
    return full_pair(
        base,
        other,
        config_from=args.config_from,
        extra_rows=args.extra_rows,
        trust_remote_code=trust_remote_code,
    )
