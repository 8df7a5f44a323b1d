"""Types of model arguments: what lm-eval parsed from text, against the hints; devices."""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any, Literal

from pa_harness.errors import ModelArgsError

if TYPE_CHECKING:
    import torch

SHOWN = 200  # characters of a value in a message
NAMES = ("pretrained", "instruct", "peft", "tokenizer")  # folders or hub ids


def shown(value: object) -> str:
    """The value as it was typed, cut to a length fit for a message."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"


def check_type(name: str, value: Any, expected: Any) -> None:
    """Refuse a value that its type hint does not allow.

    Args:
        name: of the argument.
        value: what was given.
        expected: a class, a `Literal`, a generic or a union of them.

    Raises:
        ModelArgsError: it does not fit.
    """
    kinds = typing.get_args(expected) if _is_union(expected) else (expected,)
    if any(_fits(value, kind) for kind in kinds):
        return
    text = " or ".join(sorted({_spelled(kind) for kind in kinds} - {"nothing"}))
    hint = ""
    if "revision" in name:
        hint = (
            " lm-eval reads unquoted hashes as numbers; pass --model_args as JSON, or quote it: "
            f"{name}=\"'...'\"."
        )
    elif name in NAMES and isinstance(value, int):
        hint = f" A folder of that name is {name}=./{value}."
    what = "" if "'" in text else f", not {type(value).__name__}"  # choices need no type
    raise ModelArgsError(f"{name}={shown(value)} should be {text}{what}.{hint}")


def _is_union(expected: Any) -> bool:
    return typing.get_origin(expected) in (typing.Union, types.UnionType)


def _fits(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if kind is Any or not (isinstance(kind, type) or origin):
        return True
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in kind.__args__)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _spelled(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(repr, kind.__args__))
    names = {str: "text", int: "a whole number", float: "a number", bool: "True or False"}
    names |= {dict: "a mapping", type(None): "nothing"}
    kind = typing.get_origin(kind) or kind
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def check_device(device: str) -> None:
    """HFLM silently takes another device when it does not know the name.

    Raises:
        ModelArgsError: it is none, or is not here.
    """
    import torch

    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise ModelArgsError(
            f"device={shown(device)} is not a device. Expected for example cpu, cuda or cuda:0."
        ) from error
    kind = parsed.type
    if kind not in ("cpu", "cuda", "mps", "npu", "xpu", "hpu") or device.startswith("cpu:"):
        raise ModelArgsError(f"device={device!r} cannot run models. Expected cpu, cuda or mps.")
    if device in ("cpu", "cuda:0"):  # lm-eval passes cuda:0 when nobody asked for a device
        return
    count = getattr(torch, kind).device_count()
    if (parsed.index or 0) >= count:
        raise ModelArgsError(
            f"device={device!r} is not here: torch sees {count} {kind} devices. Pass device=cpu, "
            "or install the torch that matches your accelerator."
        )


def torch_dtype(name: object, argument: str = "dtype") -> torch.dtype | None:
    """The dtype that an argument names; None for "auto".

    Raises:
        ModelArgsError: not a floating dtype of torch.
    """
    import torch

    dtype = getattr(torch, name, None) if isinstance(name, str) else name
    if name in (None, "auto"):
        return None
    if dtype not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        raise ModelArgsError(
            f"{argument}={shown(name)} is not a floating dtype. "
            "Expected float32, bfloat16, float16 or float64; for dtype also auto."
        )
    return typing.cast("torch.dtype", dtype)
