"""Attention in parts: kernels that give a log-sum-exp with their output, and how parts are joined.

With S the scores of some slots, out = softmax(S) V and lse = log Σ exp S; parts over slots A and B
join as (out_A exp lse_A + out_B exp lse_B) / (exp lse_A + exp lse_B). Softmax and sums are in fp32
or wider in every dtype. Torch's fused kernels are used where they can say their log-sum-exp and
plan nothing per shape; soft-capping and odd sizes are computed in the open, some rows at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

Part = tuple[torch.Tensor, torch.Tensor]  # output [..., n, d] and log-sum-exp [..., n]
_OPEN = 1 << 26  # bytes of scores made at a time where no kernel is fused
# Torch's fused kernels by what they are for; their public door does not say the log-sum-exp.
_ON_CPU = "_scaled_dot_product_flash_attention_for_cpu"
_WITHOUT_MASK = "_scaled_dot_product_flash_attention"  # 16 bits, heads of up to 256
_WITH_MASK = "_scaled_dot_product_efficient_attention"
_HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Score:
    """How a score is made of a query q and a key k: cap · tanh(scale · q·k / cap).

    Attributes:
        scale: factor of the product.
        cap: None is no cap: scale · q·k.
    """

    scale: float
    cap: float | None = None


def blocked(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What is added to scores: 0 where `seen`, elsewhere about the dtype's lowest number.

    Not −∞: a row that sees nothing must have a log-sum-exp that is a number. Rows begin at
    multiples of 16 elements, which some kernels ask for.
    """
    size = seen.shape[-1]
    mask = seen.new_zeros((*seen.shape[:-1], -(-size // 16) * 16), dtype=dtype)[..., :size]
    return mask.masked_fill_(~seen, torch.finfo(dtype).min / 2)


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    score: Score,
    mask: torch.Tensor | None = None,
    *,
    causal: bool = False,
) -> Part:
    """Attention over some slots.

    Args:
        query: [batch, heads, n, d].
        key: [batch, heads, m, d]; may be expanded.
        value: of the same shape.
        score: how scores are made.
        mask: what is added to them, of `blocked`, broadcast to [batch, heads, n, m].
        causal: query i sees the keys up to i; n = m, without a mask.

    Returns:
        Output, [batch, heads, n, d], and log-sum-exp, [batch, heads, n], fp32 or wider.
    """
    if score.cap is not None or not _is_fused(query):
        return _in_the_open(query, key, value, score, mask, causal=causal)
    if mask is not None:
        mask = mask.expand(*query.shape[:3], key.shape[2])
    if query.device.type == "cpu":
        out, lse = _kernel(_ON_CPU)(
            query, key, value, 0.0, causal, attn_mask=mask, scale=score.scale
        )
    elif mask is None and query.dtype in _HALVES and query.shape[-1] <= 256:
        out, lse, *_ = _kernel(_WITHOUT_MASK)(
            query, key, value, 0.0, causal, False, scale=score.scale
        )
    else:
        out, lse, *_ = _kernel(_WITH_MASK)(
            query, key, value, mask, True, 0.0, causal, scale=score.scale
        )
        lse = lse[..., : query.shape[2]]  # it is padded
    return out, lse


def join(parts: Sequence[Part], sinks: torch.Tensor | None = None) -> torch.Tensor:
    """Attention over all slots from attention over parts of them.

    Args:
        parts: outputs [..., n, d] with their log-sum-exps [..., n].
        sinks: a score per row that takes part in the softmax and has no value, [..., n].
    """
    if len(parts) == 1 and sinks is None:
        return parts[0][0]
    sums = [lse for _, lse in parts]
    every = sums if sinks is None else [*sums, sinks.to(sums[0].dtype).expand_as(sums[0])]
    total = torch.stack(every).logsumexp(0)
    first, *rest = ((out, (lse - total).exp_()[..., None]) for out, lse in parts)
    joined = first[0] * first[1]
    for out, weight in rest:
        joined = joined.addcmul_(out.to(joined.dtype), weight)
    return joined.to(parts[0][0].dtype)


def join_many(out: torch.Tensor, lse: torch.Tensor) -> Part:
    """The same for k parts in one tensor: [..., k, n, d] and [..., k, n]."""
    total = lse.logsumexp(-2)
    weight = (lse - total[..., None, :]).exp_()
    return (out * weight[..., None]).sum(-3), total


def _kernel(name: str) -> Any:
    return getattr(torch.ops.aten, name)


def _is_fused(query: torch.Tensor) -> bool:
    """Whether a fused kernel takes such queries."""
    if query.device.type == "cpu":
        return True
    single = query.dtype in (*_HALVES, torch.float32)
    return query.device.type == "cuda" and single and query.shape[-1] % 8 == 0


def _in_the_open(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    score: Score,
    mask: torch.Tensor | None,
    *,
    causal: bool,
) -> Part:
    """The same with matrix products, in fp32 or wider."""
    wide = torch.promote_types(query.dtype, torch.float32)
    batch, heads, n, _ = query.shape
    m = key.shape[2]
    keys, values = key.to(wide).mT, value.to(wide)
    step = max(1, _OPEN // (batch * heads * m * wide.itemsize))
    found = []
    for low in range(0, n, step):
        rows = slice(low, min(low + step, n))
        scores = (query[:, :, rows].to(wide) @ keys).mul_(score.scale)
        if score.cap is not None:
            scores = scores.div_(score.cap).tanh_().mul_(score.cap)
        if mask is not None:
            scores += mask.expand(*mask.shape[:2], n, m)[:, :, rows]
        if causal:
            row = torch.arange(rows.start, rows.stop, device=query.device)
            later = torch.arange(m, device=query.device) > row[:, None]
            scores.masked_fill_(later, -torch.inf)
        lse = scores.logsumexp(-1)
        found.append(((scores - lse[..., None]).exp_() @ values, lse))
    out, lse = (torch.cat(each, 2) for each in zip(*found, strict=True))
    return out.to(query.dtype), lse
