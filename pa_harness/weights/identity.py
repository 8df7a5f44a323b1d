"""What M_λ is: everything of it that decides an answer and is the same at every λ.

A model says it of itself (`get_model_info`); a run keeps it; who goes on with that run, or ships
its λ, says it again from the files (`Opened`) and compares.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.checkpoints.adapters.adapter import adapter_fingerprint
from pa_harness.checkpoints.pair import is_adapter
from pa_harness.checkpoints.stamps import Stamps
from pa_harness.checkpoints.vocabulary import (
    read_tokenizer,
    stop_ids,
    tokenizer_digest,
    tokenizer_settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.checkpoints.pair import Pair
    from pa_harness.weights.adapted import AdaptedWeights
    from pa_harness.weights.arguments import ModelArgs
    from pa_harness.weights.opening import Opened


@dataclass(frozen=True)
class Known:
    """What an earlier reading of the weights found, and the files' stamps when it began.

    Attributes:
        stamps: by side.
        contents: digests of the weights by side.
    """

    stamps: Mapping[str, Stamps]
    contents: Mapping[str, str]


def fixed_facts(
    args: ModelArgs, weights: AdaptedWeights, tokenizer: Any, source: str
) -> dict[str, Any]:
    """What can be said before any weight is read.

    Args:
        args: the model arguments.
        weights: of the pair.
        tokenizer: as its files give it.
        source: of the tokenizer.

    Returns:
        `arithmetic`; `tokenizer_source`, `tokenizer_digest` (vocabulary, merges, what texts go
        through), `tokenizer_settings` (special tokens and the like, by name),
        `chat_template_digest`; `model_config` by name, `code_digest` of a model that brings its
        own; `method`, `config_from`, `extra_rows`, `renamed_tokens`; `stop_token_ids`.
    """
    pair, rounding = weights.pair, args.rounding
    seed = f" with seed {args.rounding_seed}" if rounding == "stochastic" else ""
    template = tokenizer.chat_template
    config = {k: v for k, v in pair.config.to_dict().items() if k != "_name_or_path"}
    return {
        "arithmetic": f"fp32 lerp, rounded once to {weights.dtype}, {rounding}{seed}",
        "tokenizer_source": source,
        "tokenizer_digest": tokenizer_digest(tokenizer),
        "tokenizer_settings": tokenizer_settings(tokenizer),
        "chat_template_digest": digest(template) if template else "",
        "model_config": json.loads(json.dumps(config, default=str)),
        "code_digest": _code(pair),
        "method": asdict(args.setting),
        "config_from": args.config_from or "instruct",
        "extra_rows": args.extra_rows,
        "renamed_tokens": args.renamed_tokens,
        "stop_token_ids": stop_ids(pair.knots, tokenizer),
    }


def sides(pair: Pair, contents: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The checkpoints, as results name them: `sha` is the commit, or else `content`, a digest."""
    return {
        end.role: {
            "name": end.name,
            "revision": end.revision or "",
            "subfolder": end.subfolder,
            "sha": end.commit or contents[end.role],
            "content": contents[end.role],
        }
        for end in pair.knots
    }


def facts_from_files(opened: Opened, known: Known | None = None) -> dict[str, Any]:
    """`fixed_facts` and `sides` without a model.

    Args:
        opened: the pair.
        known: spares the reading of weights in files that have not been written to since.
    """
    weights, source = opened.weights, opened.tokenizer
    tokenizer = read_tokenizer(source, trust_remote_code=opened.trust_remote_code)
    facts = fixed_facts(opened.args, weights, tokenizer, source.name)
    return {**facts, **sides(weights.pair, _contents(weights, known))}


def digest(value: Any) -> str:
    """Sixteen hex digits that change with the value (JSON, or what `str` tells apart)."""
    content = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _contents(weights: AdaptedWeights, known: Known | None) -> Mapping[str, str]:
    pair = weights.pair
    if known is None or any(not _untouched(end, known) for end in pair.full):
        return weights.findings.contents()
    return {
        each.role: adapter_fingerprint(each) if is_adapter(each) else known.contents[each.role]
        for each in pair.knots
    }


def _untouched(end: Checkpoint, known: Known) -> bool:
    return end.role in known.contents and known.stamps.get(end.role) == end.stamps


def _code(pair: Pair) -> str:
    """A digest of the modelling code that a checkpoint brings along; empty where it is not used."""
    if not getattr(pair.config, "auto_map", None):
        return ""
    files = sorted(pair.base.folder.glob("*.py"))
    return digest([[file.name, file.read_text(encoding="utf-8")] for file in files])
