"""Quantised checkpoints: FP8 and MXFP4 are dequantised as transformers does it, others refused.

The files decide what is quantised; a configuration may have been left over from training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pa_harness.errors import CheckpointError, first_line, listed

if TYPE_CHECKING:
    from pa_harness.checkpoints.checkpoint import Checkpoint

_DEQUANTISED = ("fp8", "mxfp8", "mxfp4")  # transformers' names


def method_of(checkpoint: Checkpoint) -> str:
    """The quantisation that config.json names; empty where it names none."""
    raw = checkpoint.read_json("config.json")
    settings = raw.get("quantization_config") or raw.get("compression_config")
    if not settings:
        return ""
    if not isinstance(settings, dict):
        return str(settings)
    return str(settings.get("quant_method") or "of an unnamed method")


def quantised_keys(checkpoint: Checkpoint) -> list[str]:
    """Tensors of a dtype that holds no values by itself; bytes only where config.json says so."""
    bytes_too = bool(method_of(checkpoint))
    return [
        key
        for key, tensor in checkpoint.tensors.items()
        if tensor.dtype.itemsize == 1
        and tensor.dtype is not torch.bool
        and (bytes_too or tensor.dtype.is_floating_point)
    ]


def quantizer_of(checkpoint: Checkpoint, *, dequantize: bool) -> Any:
    """What dequantises the checkpoint's tensors where transformers reads them; None for plain ones.

    Args:
        checkpoint: the side.
        dequantize: False refuses quantised tensors of every kind.

    Raises:
        CheckpointError: quantised in a way that is not undone here.
    """
    keys = quantised_keys(checkpoint)
    if not keys:
        return None
    method = method_of(checkpoint)
    if method not in _DEQUANTISED or not dequantize:
        refuse(checkpoint, keys)
    from transformers.quantizers.auto import AutoHfQuantizer, AutoQuantizationConfig

    try:
        raw = checkpoint.read_json("config.json")["quantization_config"]
        settings = AutoQuantizationConfig.from_dict(raw)
        settings.dequantize = True
        return AutoHfQuantizer.from_config(settings, pre_quantized=True)
    except Exception as error:  # its checks have classes of their own
        raise CheckpointError(
            f"{checkpoint}: transformers cannot use the quantization_config of config.json: "
            f"{first_line(error)}. Check that it is of these weights."
        ) from error


def refuse(checkpoint: Checkpoint, keys: list[str]) -> None:
    """Say that these tensors cannot be interpolated.

    Raises:
        CheckpointError: always.
    """
    method = method_of(checkpoint)
    named = f" ({method})" if method else ""
    kinds = [f"{key}: {checkpoint.tensors[key].dtype}" for key in keys]
    undone = method in _DEQUANTISED
    raise CheckpointError(
        f"{checkpoint} is quantised{named}: {len(keys)} of {len(checkpoint.tensors)} tensors hold "
        f"no values by themselves:\n{listed(kinds)}\n"
        + (
            "Leave out dequantize=False to have them dequantised, or use"
            if undone
            else "Of quantised checkpoints only FP8 and MXFP4 (of transformers' own formats) are "
            "dequantised. Use"
        )
        + " the unquantised checkpoint."
    )
