"""How much goes through a model at a time, and the memory that it takes.

What is chosen depends on the model and on the whole memory of its device, never on what happens to
be free: the same passes, and so the same bits, at every run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from pa_harness.prefixes.passes import DEEPEST

_CPU_TOKENS = 1024  # per pass: weights are read seldom, activations stay in the caches
_DEVICE_TOKENS = 8192  # at most; matrix products of an accelerator are filled by fewer
_CPU_ROWS, _DEVICE_ROWS = 64, 128  # prompts that decode together
_LOGITS = 1 << 29  # bytes of logits and their softmax at a time: 170 rows of 262,144 words
_PASS_SHARE, _ROWS_SHARE = 8, 2  # of the memory that the weights leave, one part in so many
_LEAST_SHAPE = 64  # tokens
_CPU_PASS, _DEVICE_PASS = 16, 1024  # tokens in whose time the weights are read, kernels launched
_SHORTAGES = (  # what allocators say: of CUDA, cuBLAS, cuDNN, MPS, Windows, Linux
    *("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    *("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED"),
    *("not enough memory", "can't allocate memory", "Cannot allocate memory"),
)


@dataclass(frozen=True)
class Limits:
    """What a device is given at a time.

    Attributes:
        tokens: of a pass, 1 or more.
        rows: prompts that decode together, 1 or more.
        kept: bytes of keys and values of rows that decode.
        logits: bytes of logits and their softmax that are made at a time.
        few_shapes: whether passes and steps are filled up to few sizes, so that nothing is planned
            or captured twice; costs at most an eighth of a pass that is not full.
        ahead: steps that are given to the device before the tokens of one are looked at.
        pass_cost: what a further pass of a few rows costs beside its tokens, in tokens.
    """

    tokens: int
    rows: int
    kept: int
    logits: int = _LOGITS
    few_shapes: bool = False
    ahead: int = 0
    pass_cost: int = _CPU_PASS

    @classmethod
    def of(cls, model: Any, device: torch.device, beside: int = 0) -> Limits:
        """What suits a model on a device, on which so many bytes lie beside it."""
        if device.type != "cuda":
            return cls(_CPU_TOKENS, _CPU_ROWS, _of_machine() // 4)
        weights = sum(each.nbytes for each in model.parameters() if each.device.type == "cuda")
        left = max(0, torch.cuda.get_device_properties(device).total_memory - weights - beside)
        return cls.accelerator(model, left)

    @classmethod
    def accelerator(cls, model: Any, left: int) -> Limits:
        """What suits an accelerator of which the weights leave so many bytes."""
        tokens = max(1, min(_DEVICE_TOKENS, left // _PASS_SHARE // bytes_per_token(model)))
        kept = left // _ROWS_SHARE
        return cls(tokens, _DEVICE_ROWS, kept, few_shapes=True, ahead=1, pass_cost=_DEVICE_PASS)

    def shape(self, tokens: int) -> int:
        """Tokens that a pass is filled up to: eighths of a power of two, or all of them."""
        if not self.few_shapes or tokens >= self.tokens:
            return tokens
        step: int = max(_LEAST_SHAPE, 1 << max(0, (tokens - 1).bit_length() - 3))
        return min(self.tokens, -(-tokens // step) * step)

    def pass_bytes(self, model: Any) -> int:
        """The most that a pass of a model allocates beside keys and values, which stay."""
        each = bytes_per_token(model, min(self.tokens, DEEPEST))
        return self.tokens * each + max(self.logits, _row_bytes(model))

    def logit_rows(self, model: Any) -> int:
        """Rows of logits at a time."""
        return max(1, self.logits // _row_bytes(model))


def _row_bytes(model: Any) -> int:
    """A row of logits as the model makes it, in fp32, and its softmax."""
    vocabulary: int = model.config.get_text_config().vocab_size
    return vocabulary * (int(model.dtype.itemsize) + 8)


def largest(config: Any, name: str) -> Any:
    """A setting of a text configuration; the largest where its layers differ; None without it."""
    if not getattr(config, "is_heterogeneous", False):
        return getattr(config, name, None)
    layers = (config.per_layer_config[layer] for layer in range(config.num_hidden_layers))
    return max(filter(None, (getattr(each, name, None) for each in layers)), default=None)


def bytes_per_token(model: Any, depth: int = DEEPEST) -> int:
    """An upper estimate of what the activations of a token take while a pass goes through.

    The residual stream and its fp32 norm, the widest part of a feed-forward block (of a mixture:
    of all experts that a token visits), queries, keys and values with their copies for the tiles,
    and the tiles' mask.

    Args:
        model: any decoder.
        depth: tokens of the deepest subtree.
    """
    config = model.config.get_text_config(decoder=True)
    hidden: int = config.hidden_size
    heads: int = largest(config, "num_attention_heads") or 1
    size = largest(config, "head_dim") or hidden // heads
    inner = largest(config, "intermediate_size") or 4 * hidden
    inner = max(inner) if isinstance(inner, list | tuple) else inner  # per layer
    expert = largest(config, "moe_intermediate_size") or inner
    visits = largest(config, "num_experts_per_tok") or 1
    block = 4 * inner if visits == 1 else 10 * max(inner, expert * visits)  # sorted and put back
    itemsize: int = model.dtype.itemsize
    groups = heads // (largest(config, "num_key_value_heads") or heads)
    mask = depth * 5 // 4 * (4 + groups * (1 + itemsize))
    return mask + itemsize * (8 * hidden + int(block) + 24 * heads * int(size)) + 12 * hidden


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator said that there is no more."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(each in str(error) for each in _SHORTAGES)


def _of_machine() -> int:
    """Bytes of the machine's memory; 8 GB where it is not told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8_000_000_000
