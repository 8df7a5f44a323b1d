"""From model arguments to weights that are ready to be read at any λ."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from pa_harness.checkpoints.hub import open_checkpoint
from pa_harness.checkpoints.pair import Pair, Rules, open_stages
from pa_harness.checkpoints.vocabulary import tokenizer_checkpoint
from pa_harness.errors import CheckpointError, ModelArgsError
from pa_harness.lam.path import roles
from pa_harness.weights.adapted import AdaptedWeights
from pa_harness.weights.argument_types import torch_dtype
from pa_harness.weights.arguments import DEFAULT_PAIR, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.weights.arguments import ModelArgs

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply
W = TypeVar("W", bound=AdaptedWeights)


@dataclass(frozen=True)
class Opened:
    """What model arguments stand for.

    Attributes:
        args: ours, checked.
        weights: θ_λ, unread.
        tokenizer: the checkpoint whose tokenizer is used.
        trust_remote_code: as given.
    """

    args: ModelArgs
    weights: AdaptedWeights
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
    weights = adapted_weights(args, rest.get("dtype"), AdaptedWeights, trust_remote_code=trust)
    tokenizer = tokenizer_source(rest.get("tokenizer"), weights.pair)
    return Opened(args, weights, tokenizer, trust)


def tokenizer_source(name: str | None, pair: Pair) -> Checkpoint:
    """The checkpoint whose tokenizer is used at every λ: the named one, else the last that has one.

    Raises:
        CheckpointError: there is none.
    """
    if name:
        return open_checkpoint(name, "tokenizer", weights=False)
    return tokenizer_checkpoint(*reversed(pair.knots))


def adapted_weights(
    args: ModelArgs, dtype: object, kind: type[W], *, trust_remote_code: bool = False
) -> W:
    """θ_λ of the pair or path that the arguments name; its weights are not read yet.

    Args:
        args: the model arguments.
        dtype: the weights'; None or "auto" for the pair's own.
        kind: the class that holds it.
        trust_remote_code: as in transformers.

    Raises:
        ModelArgsError: stochastic rounding to a dtype it is not defined for.
        CheckpointError, PairError, AdapterError: as `open_pair`.
    """
    rules = Rules(
        dtype=torch_dtype(dtype),
        config_from=args.config_from,
        extra_rows=args.extra_rows,
        renamed_tokens=args.renamed_tokens,
        dequantize=args.dequantize,
        trust_remote_code=trust_remote_code,
    )
    pair = open_pair(args, rules)
    chosen = pair.model.dtype
    if args.rounding == "stochastic" and chosen is not torch.bfloat16:
        raise ModelArgsError(
            f"rounding=stochastic is defined for bfloat16 weights; this pair's are {chosen}. "
            "Pass dtype=bfloat16, or leave rounding out."
        )
    return kind(
        pair,
        seed=args.rounding_seed if args.rounding == "stochastic" else None,
        every_element=args.lam_eff == "tensors",
        check_finite=args.check_finite,
        method=args.setting,
    )


def open_pair(args: ModelArgs, rules: Rules) -> Pair:
    """Find all checkpoints that the model arguments name, and check that they belong together.

    Raises:
        CheckpointError: one cannot be found or read.
        PairError: two neighbours do not belong together.
        AdapterError: the adapter is not linear in λ.
    """
    if args.uses_default_pair:
        _log.warning("No pair was given: using the small default pair %s and %s.", *DEFAULT_PAIR)
    try:
        found = [
            open_checkpoint(stage.name, role, revision=stage.revision, subfolder=stage.subfolder)
            for stage, role in zip(args.stages, roles(args.stages), strict=True)
        ]
    except CheckpointError as error:
        if not args.uses_default_pair:
            raise
        raise CheckpointError(
            f"{error}\nNo pair was given, and the default pair is not here. Pass "
            "pretrained=BASE_FOLDER,instruct=INSTRUCT_FOLDER."
        ) from error
    return open_stages(found, rules)
