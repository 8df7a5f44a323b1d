"""The model arguments of `partially_adapted`: ours checked, the others checked for HFLM."""

from __future__ import annotations

import inspect
import re
import typing
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from pa_harness.errors import ModelArgsError, did_you_mean
from pa_harness.lam.path import Stage, read_path, short_form, stages_of
from pa_harness.lam.reading import read_lam
from pa_harness.lam.schedule import Lam
from pa_harness.weights.argument_types import (
    NAMES,
    SHOWN,
    check_device,
    check_type,
    shown,
    torch_dtype,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pa_harness.weights.methods import Setting

DEFAULT_PAIR = ("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct")
_EXAMPLE = "--model_args pretrained=BASE,instruct=INSTRUCT,lam=0.5"
# Arguments of transformers' from_pretrained that reach it through HFLM's **kwargs.
FROM_PRETRAINED: dict[str, Any] = {
    **dict.fromkeys(("attn_implementation", "experts_implementation"), str),
    **dict.fromkeys(("offload_buffers", "low_cpu_mem_usage", "use_kernels"), bool),
    **{"device_map": str | dict[str, Any], "max_memory": dict[Any, Any], "tp_size": int},
}
_REVISION = r"(?!.*\.\.)[^\x00- ~^:?*\[\\\x7f\ud800-\udfff]*"  # what git allows in a name
_SIZE = r"\d{1,20}|\d{1,9}(\.\d{1,9})? ?[KMG]i?B"
_FORMS = {  # argument: what it must look like, and that in words
    "batch_size": (r"[1-9]\d{0,9}|auto(:[1-9]\d{0,9})?", "a positive whole number, auto or auto:N"),
    "max_batch_size": (r"[1-9]\d*", "1 or more"),
    "max_length": (r"[1-9]\d*", "1 or more tokens"),
    "tp_size": (r"[1-9]\d*", "1 or more"),
    "prefix_token_id": (r"\d+", "a token id: 0 or more"),
    "max_memory_per_gpu": (_SIZE, "bytes, or for example 20GiB"),
    "max_cpu_memory": (_SIZE, "bytes, or for example 20GiB"),
    "device_map": (r"auto|balanced(_low_0)?|sequential|cpu|cuda(:\d+)?|\{(?s:.*)", "such as auto"),
    "revision": (_REVISION, "a branch, tag or commit hash"),
    "instruct_revision": (_REVISION, "a branch, tag or commit hash"),
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
        lam: λ; any finite number, or a schedule of numbers.
        pretrained: the base: folder or hub id. Of a longer path its first checkpoint.
        instruct: the instruct model: folder or hub id. This or `peft`.
        peft: a LoRA on the base: folder or hub id.
        revision: the base's revision on the hub.
        subfolder: the base's folder inside its repository.
        instruct_revision: the revision of `instruct` or `peft`.
        instruct_subfolder: its folder inside the repository.
        path: three or more checkpoints that λ leads through (see `lam.path`), in the place of these
            names; a path of two is read as a pair.
        method: the way from base to instruct; see `methods`.
        rank: of method=low_rank.
        energy: of method=low_rank, in the place of `rank`.
        density: of method=trim.
        keep: where the originals are kept for `set_lam`: "files" (mapped, no memory), "memory"
            (two more models, beside the parameters on their devices), or "auto": memory on an
            accelerator of which three models take three quarters at most, else files.
        rounding: "nearest" (even), or "stochastic" (bf16 only).
        rounding_seed: seed of the stochastic rounding.
        config_from: "base" or "instruct": whose settings to use where they change the function.
            Without it such a pair is refused.
        extra_rows: "refuse" or "copy" the rows that only one vocabulary has.
        renamed_tokens: "refuse" ids that mean different tokens on the two sides (but for reserved
            ones that got a name), or "accept" them.
        dequantize: read FP8 and MXFP4 checkpoints as the values that they stand for; False refuses
            them.
        check_finite: refuse NaN and infinities in the checkpoints.
        lam_eff: "model" reports λ_eff of the model from a sample of every tensor; "tensors" also
            per tensor, from every element.
        prefix_sharing: compute the beginnings that prompts share once; False computes every prompt
            as `hf` does.
    """

    lam: Lam
    pretrained: str
    instruct: str | None = None
    peft: str | None = None
    revision: str | None = None
    subfolder: str = ""
    instruct_revision: str | None = None
    instruct_subfolder: str = ""
    path: list[Any] | None = None
    method: Literal["linear", "slerp", "low_rank", "trim"] = "linear"
    rank: int | None = None
    energy: float | None = None
    density: float | None = None
    keep: Literal["auto", "files", "memory"] = "auto"
    rounding: Literal["nearest", "stochastic"] = "nearest"
    rounding_seed: int = 0
    config_from: Literal["base", "instruct"] | None = None
    extra_rows: Literal["refuse", "copy"] = "refuse"
    renamed_tokens: Literal["refuse", "accept"] = "refuse"
    dequantize: bool = True
    check_finite: bool = True
    lam_eff: Literal["model", "tensors"] = "model"
    prefix_sharing: bool = True

    @property
    def uses_default_pair(self) -> bool:
        """Whether no pair was named and the small default pair stands in."""
        return (self.pretrained, self.instruct) == DEFAULT_PAIR

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The checkpoints that λ leads through; of a pair two."""
        return stages_of(vars(self))

    @property
    def setting(self) -> Setting:
        """The method with its number."""
        from pa_harness.weights.methods import Setting

        return Setting(self.method, self.rank, self.energy, self.density)


def parse(
    given: Mapping[str, Any],
    host: Callable[..., None],
    model: str = "hf",
    more: Mapping[str, Any] = FROM_PRETRAINED,
) -> tuple[ModelArgs, dict[str, Any]]:
    """Check model arguments.

    Args:
        given: all of them, as lm-eval parsed them.
        host: ``__init__`` of lm-eval's own model class, whose names and types the remaining
            arguments must match.
        model: lm-eval's name of that class.
        more: names and types that reach something else through its **kwargs.

    Returns:
        Ours, and those for lm-eval's class.

    Raises:
        ModelArgsError: the first thing that is wrong.
    """
    import torch

    from pa_harness.weights.methods import check_setting

    ours, rest = split(given, {**more, **_parameters(host)}, model)
    # HFLM's own default is "cuda", on every machine.
    rest.setdefault("device", "cuda" if torch.cuda.is_available() else "cpu")
    check_setting(ours.setting)
    _check_dtypes(ours, rest)
    _check_together(rest)
    check_device(rest["device"])
    return ours, rest


def split(
    given: Mapping[str, Any], theirs: Mapping[str, Any], model: str = "hf"
) -> tuple[ModelArgs, dict[str, Any]]:
    """Ours and the others of the model arguments, each checked by itself; without torch.

    Args:
        given: all of them, as lm-eval parsed them.
        theirs: types by name of those that lm-eval's class takes.
        model: lm-eval's name of that class.

    Raises:
        ModelArgsError: the first thing that is wrong.
    """
    given = short_form({key: value for key, value in given.items() if value is not None})
    for name, reason in _REFUSED.items():
        if name in given and (given[name] or name == "lambda"):
            raise ModelArgsError(f"{name}={shown(given[name])} {reason}")
    given = {name: value for name, value in given.items() if name not in _REFUSED}
    hints = typing.get_type_hints(ModelArgs)
    known = {**theirs, **hints}
    _check_names(given, known, model)
    for name, value in given.items():
        if name != "lam":
            check_type(name, value, known[name])
    _check_forms(given)
    ours = _with_pair({name: given[name] for name in given if name in hints})
    return ours, {name: value for name, value in given.items() if name not in hints}


def _parameters(host: Callable[..., None]) -> dict[str, Any]:
    hints = typing.get_type_hints(host)
    return {
        name: hints.get(name, Any)
        for name, parameter in inspect.signature(host).parameters.items()
        if name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def _check_names(given: Mapping[str, Any], known: Mapping[str, Any], model: str) -> None:
    for name in given:
        if name in known:
            continue
        hint = f"{did_you_mean(name, sorted(known))} ".lstrip()
        named = name if name.isidentifier() and len(name) <= SHOWN else shown(name)
        raise ModelArgsError(
            f"Unknown model argument {named}={shown(given[name])}. {hint}Ours are "
            f"{', '.join(field.name for field in fields(ModelArgs))}; the others are lm-eval's for "
            f"--model {model}."
        )


def _check_forms(given: Mapping[str, Any]) -> None:
    for name in NAMES:
        value = given.get(name)
        if isinstance(value, str) and not value.strip():
            raise ModelArgsError(
                f"{name}={value!r} is empty. Expected a folder or hub id: {_EXAMPLE}."
            )
    for name in [name for name in _FORMS if name in given]:
        form, words = _FORMS[name]
        if not re.fullmatch(form, str(given[name]), re.ASCII):
            raise ModelArgsError(f"{name}={shown(given[name])} is not possible. Expected {words}.")


def _with_pair(ours: dict[str, Any]) -> ModelArgs:
    """Exactly one instruct side, or none and no base: then the small default pair."""
    if "lam" not in ours:
        raise ModelArgsError(f"lam= is missing: the adaptation strength λ. Expected {_EXAMPLE}.")
    ours["lam"] = read_lam(ours["lam"])
    if "path" in ours:
        first = read_path(ours["path"])[0]
        ours |= {"pretrained": first.name, "revision": first.revision}
        return ModelArgs(**ours, subfolder=first.subfolder)
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


def _check_dtypes(ours: ModelArgs, rest: Mapping[str, Any]) -> None:
    import torch

    dtype = torch_dtype(rest.get("dtype"))
    if ours.rounding == "stochastic" and dtype not in (None, torch.bfloat16):
        raise ModelArgsError(
            f"rounding=stochastic is defined for bfloat16 weights, not dtype={rest['dtype']!r}: "
            "wider dtypes need no such help. Leave rounding out, or pass dtype=bfloat16."
        )
    for name in ("softmax_dtype", "mixed_precision_dtype"):
        if name in rest and torch_dtype(rest[name], name) is None:
            raise ModelArgsError(f"{name}='auto' has no meaning. Expected for example float32.")


def _check_together(rest: Mapping[str, Any]) -> None:
    if rest.get("enable_thinking") and "think_end_token" not in rest:
        raise ModelArgsError(
            "enable_thinking=True needs think_end_token=: the text or id that ends the thinking, "
            "for example think_end_token=</think>."
        )
    if "tp_plan" in rest and rest.get("parallelize"):
        raise ModelArgsError("tp_plan= and parallelize=True exclude each other. Pass one of them.")
    if "tp_size" in rest and "tp_plan" not in rest:
        raise ModelArgsError(f"tp_size={rest['tp_size']} needs tp_plan=auto, under torchrun.")
