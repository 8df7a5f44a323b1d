"""Whether a model may be scored with shared prefixes; if not, why not.

What the class and the configuration tell is asked here; `trial` measures the rest.
"""

from __future__ import annotations

import inspect
from typing import Any

from pa_harness.prefixes.attention.tree import implementation

_LAYERS = {"full_attention", "sliding_attention"}
_GROWING_ROPE = {"dynamic", "longrope"}  # frequencies that depend on the longest sequence so far


def no_rows(model: Any) -> str | None:
    """What the class and the configuration have against rows of forked caches; None if nothing.

    Args:
        model: any model.
    """
    if not type(model).__module__.startswith("transformers."):
        return f"{type(model).__name__} is not a class of transformers"
    if model.config.is_encoder_decoder:
        return "it is an encoder-decoder"
    return None


def no_tree(model: Any) -> str | None:
    """What the class and the configuration have against attention over a tree; None if nothing.

    Args:
        model: any model.
    """
    if reason := no_rows(model):
        return reason
    can_exchange = getattr(model, "_can_set_attn_implementation", None)  # has no public name
    if can_exchange is None or not can_exchange():
        return f"the attention of {type(model).__name__} cannot be exchanged"
    config = model.config.get_text_config(decoder=True)
    other = set(getattr(config, "layer_types", None) or ()) - _LAYERS
    if other:
        return f"it has layers of another kind: {', '.join(sorted(other))}"
    if getattr(config, "attention_chunk_size", None):
        return "its attention is chunked"
    used = {implementation(module) for module in model.modules() if hasattr(module, "config")}
    if len(used) != 1:
        return f"its parts attend differently: {', '.join(sorted(used))}"
    names = inspect.signature(model.forward).parameters
    missing = [name for name in ("position_ids", "logits_to_keep") if name not in names]
    if missing:
        return f"{type(model).__name__} takes no {' and no '.join(missing)}"
    return None


def longest_possible(model: Any) -> float:
    """The length, in tokens, from which a token's keys depend on later tokens; mostly infinite."""
    config = model.config.get_text_config(decoder=True)
    rope = getattr(config, "rope_parameters", None) or {}
    several = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    if not _GROWING_ROPE & {part.get("rope_type") for part in several}:
        return float("inf")
    trained: int = config.max_position_embeddings
    lengths: list[int | None] = [part.get("original_max_position_embeddings") for part in several]
    return min([float(trained), *(length for length in lengths if length)])
