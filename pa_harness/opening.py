"""From model arguments to weights that are ready to be read at any λ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from pa_harness.adapter import adapted_slices, read_adapter
from pa_harness.architecture import concrete_class, make_shell, parameter_sources
from pa_harness.arguments import parse, torch_dtype
from pa_harness.errors import ModelArgsError
from pa_harness.hub import open_checkpoint
from pa_harness.loading import AdaptedWeights
from pa_harness.pair import open_pair
from pa_harness.vocabulary import tokenizer_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel

    from pa_harness.arguments import ModelArgs
    from pa_harness.checkpoint import Checkpoint
    from pa_harness.pair import Pair

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
