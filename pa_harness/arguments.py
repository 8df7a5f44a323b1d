"""The model arguments of `partially_adapted`: ours checked, the others checked for HFLM."""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import torch

from pa_harness.errors import ModelArgsError
from pa_harness.interpolation import check_lam

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_PAIR = ("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct")
_EXAMPLE = "--model_args pretrained=BASE,instruct=INSTRUCT,lam=0.5"
# Arguments of transformers' from_pretrained that reach it through HFLM's **kwargs.
_FROM_PRETRAINED = {
    *("attn_implementation", "experts_implementation", "device_map", "max_memory"),
    *("offload_buffers", "low_cpu_mem_usage", "use_kernels", "tp_size"),
}
_REFUSED = {
    "lambda": "is a Python keyword; the argument is called lam. Pass lam=0.5.",
    "delta": "would be added on top of θ_λ at full strength. Pass the instruct model as instruct=.",
    "gguf_file": "names quantised weights, which cannot be interpolated. Pass unquantised folders.",
    "autogptq": "loads quantised weights, which cannot be interpolated. Leave it out.",
    "gptqmodel": "loads quantised weights, which cannot be interpolated. Leave it out.",
    "load_in_8bit": "quantises while loading, which is not supported here. Use dtype=bfloat16.",
    "load_in_4bit": "quantises while loading, which is not supported here. Use dtype=bfloat16.",
    "quantization_config": "is not supported here. Use the unquantised checkpoints.",
}


@dataclass(frozen=True)
class ModelArgs:
    """The arguments that are ours.

    Attributes:
        lam: λ; any finite number.
        pretrained: the base: folder or hub id.
        instruct: the instruct model: folder or hub id. This or `peft`.
        peft: a LoRA on the base: folder or hub id.
        revision: the base's revision on the hub.
        subfolder: the base's folder inside its repository.
        instruct_revision: the revision of `instruct` or `peft`.
        instruct_subfolder: its folder inside the repository.
        keep: where the originals are kept for `set_lam`: "files" (mapped, no memory) or "memory"
            (two more models, beside the parameters on their devices).
        rounding: "nearest" (even), or "stochastic" (bf16 only).
        rounding_seed: seed of the stochastic rounding.
        config_from: "base" or "instruct": whose settings to use where they change the function.
            Without it such a pair is refused.
        extra_rows: "refuse" or "copy" the rows that only one vocabulary has.
        check_finite: refuse NaN and infinities in the checkpoints.
        lam_eff: "model" reports λ_eff of the model from a sample of every tensor; "tensors" also
            per tensor, from every element.
    """

    lam: float
    pretrained: str
    instruct: str | None = None
    peft: str | None = None
    revision: str | None = None
    subfolder: str = ""
    instruct_revision: str | None = None
    instruct_subfolder: str = ""
    keep: Literal["files", "memory"] = "files"
    rounding: Literal["nearest", "stochastic"] = "nearest"
    rounding_seed: int = 0
    config_from: Literal["base", "instruct"] | None = None
    extra_rows: Literal["refuse", "copy"] = "refuse"
    check_finite: bool = True
    lam_eff: Literal["model", "tensors"] = "model"

    @property
    def uses_default_pair(self) -> bool:
        """Whether no pair was named and the small default pair stands in."""
        return (self.pretrained, self.instruct) == DEFAULT_PAIR


def parse(given: Mapping[str, Any], hflm: Callable[..., None]) -> tuple[ModelArgs, dict[str, Any]]:
    """Check model arguments.

    Args:
        given: all of them, as lm-eval parsed them.
        hflm: `HFLM.__init__`, whose names and types the remaining arguments must match.

    Returns:
        Ours, and those for HFLM (`pretrained` and `revision` are in both).

    Raises:
        ModelArgsError: the first thing that is wrong.
    """
    given = {key: value for key, value in given.items() if value is not None}
    for name, reason in _REFUSED.items():
        if given.get(name):
            raise ModelArgsError(f"{name}={given[name]!r} {reason}")
    own = {field.name: field for field in fields(ModelArgs)}
    hints = typing.get_type_hints(ModelArgs)
    theirs = _parameters(hflm)
    _check_names(given, set(own) | set(theirs) | _FROM_PRETRAINED)
    for name, value in given.items():
        if name != "lam":
            _check_type(name, value, hints.get(name, theirs.get(name, Any)))
    ours = _with_pair({name: given[name] for name in given if name in own})
    rest = {name: value for name, value in given.items() if name not in own}
    _check_values(ours, rest)
    return ours, rest


def torch_dtype(name: object) -> torch.dtype | None:
    """The dtype that ``dtype=`` names; None for "auto".

    Raises:
        ModelArgsError: not a floating dtype of torch.
    """
    dtype = getattr(torch, name, None) if isinstance(name, str) else name
    if name in (None, "auto"):
        return None
    if dtype not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        raise ModelArgsError(
            f"dtype={name!r} is not a dtype the weights can have. "
            "Expected auto, float32, bfloat16 or float16."
        )
    return typing.cast("torch.dtype", dtype)


def _parameters(hflm: Callable[..., None]) -> dict[str, Any]:
    hints = typing.get_type_hints(hflm)
    return {
        name: hints.get(name, Any)
        for name, parameter in inspect.signature(hflm).parameters.items()
        if name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def _check_names(given: Mapping[str, Any], known: set[str]) -> None:
    for name in given:
        if name in known:
            continue
        close = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise ModelArgsError(
            f"Unknown model argument {name}={given[name]!r}. {hint}Ours are "
            f"{', '.join(field.name for field in fields(ModelArgs))}; the others are lm-eval's for "
            "--model hf."
        )


def _check_type(name: str, value: Any, expected: Any) -> None:
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
    raise ModelArgsError(f"{name}={value!r} should be {text}, not {type(value).__name__}.{hint}")


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
    if kind is str:
        return isinstance(value, str) and bool(value.strip() or not value)
    return isinstance(value, origin or kind)


def _spelled(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(repr, kind.__args__))
    names = {str: "text", int: "a whole number", float: "a number", bool: "True or False"}
    return (
        "nothing" if kind is type(None) else names.get(kind, getattr(kind, "__name__", str(kind)))
    )


def _with_pair(ours: dict[str, Any]) -> ModelArgs:
    """Exactly one instruct side, or none and no base: then the small default pair."""
    if "lam" not in ours:
        raise ModelArgsError(f"lam= is missing: the adaptation strength λ. Expected {_EXAMPLE}.")
    ours["lam"] = check_lam(ours["lam"])
    for name in ("pretrained", "instruct", "peft"):
        if name in ours and not ours[name]:
            raise ModelArgsError(f"{name}= is empty. Expected a folder or hub id: {_EXAMPLE}.")
    sides = [name for name in ("instruct", "peft") if name in ours]
    if not sides and "pretrained" not in ours:
        ours["pretrained"], ours["instruct"] = DEFAULT_PAIR
        return ModelArgs(**ours)
    if len(sides) != 1:
        found = "both were given" if sides else "neither was given"
        raise ModelArgsError(
            f"Exactly one of instruct= and peft= is needed; {found}. Expected {_EXAMPLE}, or "
            "peft=ADAPTER in the place of instruct=."
        )
    if "pretrained" not in ours:
        raise ModelArgsError(f"pretrained= (the base) is missing. Expected {_EXAMPLE}.")
    return ModelArgs(**ours)


def _check_values(ours: ModelArgs, rest: Mapping[str, Any]) -> None:
    dtype = torch_dtype(rest.get("dtype"))
    if ours.rounding == "stochastic" and dtype not in (None, torch.bfloat16):
        raise ModelArgsError(
            f"rounding=stochastic is defined for bfloat16 weights, not dtype={rest['dtype']!r}: "
            "wider dtypes need no such help. Leave rounding out, or pass dtype=bfloat16."
        )
    for name in ("softmax_dtype", "mixed_precision_dtype"):
        torch_dtype(rest.get(name))
    batch = str(rest.get("batch_size", 1))
    if not (batch.startswith("auto") or (batch.isascii() and batch.isdigit() and int(batch) > 0)):
        raise ModelArgsError(
            f"batch_size={rest['batch_size']!r} is not a batch size. Expected a positive whole "
            "number, auto, or auto:N."
        )
    for name in ("max_length", "max_batch_size"):
        if name in rest and rest[name] < 1:
            raise ModelArgsError(f"{name}={rest[name]!r} is not positive. Expected 1 or more.")
    if "device" in rest:
        _check_device(rest["device"])


def _check_device(device: str) -> None:
    """HFLM silently takes another device when it does not know the name."""
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ModelArgsError(
            f"device={device!r} is not a device. Expected for example cpu, cuda or cuda:0."
        ) from error
    if kind not in ("cpu", "cuda", "mps", "npu", "xpu", "hpu"):
        raise ModelArgsError(f"device={device!r} cannot run models. Expected cpu, cuda or mps.")
