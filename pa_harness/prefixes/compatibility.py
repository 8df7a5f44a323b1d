"""Whether a model may be scored with shared prefixes; if not, why not.

What the class and the configuration tell is asked first. The rest is measured: a small tree goes
through the model both ways. State spaces, ALiBi, biases, token shifts, positions counted by the
model itself: whatever mixes tokens behind the attention's back shows there.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch

from pa_harness.prefixes.attention import NotATreeError, implementation
from pa_harness.prefixes.scoring import PrefixScorer, Request

_LAYERS = {"full_attention", "sliding_attention"}
_GROWING_ROPE = {"dynamic", "longrope"}  # frequencies that depend on the longest sequence so far
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}  # nats; what is wrong is wrong by far more
_HALF_TOLERANCE = 0.5  # nats, of 16-bit arithmetic in another order
_BUDGET = 8  # tokens per pass: the small tree takes passes of every kind


def obstacle(model: Any) -> str | None:
    """What the class and the configuration have against it; None if nothing.

    Args:
        model: any model.
    """
    if not type(model).__module__.startswith("transformers."):
        return f"{type(model).__name__} is not a class of transformers"
    if model.config.is_encoder_decoder:
        return "it is an encoder-decoder"
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


@torch.no_grad()
def disagreement(model: Any, device: torch.device) -> str | None:
    """Send a small tree through the model both ways; None if the log-likelihoods agree.

    Args:
        model: a decoder without `obstacle`.
        device: where it expects its tokens.
    """
    requests = _small_tree(model.config.get_text_config().vocab_size)
    try:
        shared = dict(PrefixScorer(model, device, budget=_BUDGET).score(requests))
    except (NotATreeError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        return f"{type(model).__name__} refuses: {type(error).__name__}: {error}"
    worst = 0.0
    for index, request in enumerate(requests):
        tokens, last = torch.tensor([request.tokens], device=device), len(request.targets)
        table = model(tokens, logits_to_keep=last).logits[0].log_softmax(-1, dtype=torch.float32)
        alone = sum(float(row[target]) for row, target in zip(table, request.targets, strict=True))
        worst = max(worst, abs(alone - shared[index][0]))
    if not worst <= _TOLERANCE.get(model.dtype, _HALF_TOLERANCE):  # NaN is no agreement
        return f"a trial gave log-likelihoods that are off by {worst:.2g} nats"
    return None


def _small_tree(vocabulary: int) -> list[Request]:
    """Twelve tokens in common, three questions, two options each."""
    generator = torch.Generator().manual_seed(0)

    def some(count: int) -> list[int]:
        low, high = vocabulary // 8, max(vocabulary // 2, 2)  # special tokens stand at the ends
        return torch.randint(low, high, (count,), generator=generator).tolist()

    common, requests = some(12), []
    for length in (2, 5, 9):
        question = common + some(length)
        for count in (1, 3):
            option = some(count)
            requests.append(Request(question + option[:-1], option))
    return requests
