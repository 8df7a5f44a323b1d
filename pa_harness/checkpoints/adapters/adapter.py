"""A LoRA as the instruct side: θ_λ = θ_base + λ·(α/r)·B·A, merged into the weights.

Only plain and rank-stabilised LoRA (scaling α/r or α/√r) are linear in λ; everything else is
refused by name. Differs from peft's `rescale_adapter_scale`, which scales whatever is there and so
does not reach the base at 0 with DoRA, saved modules or trained tokens.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch

from pa_harness.errors import AdapterError, first_line, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peft import LoraConfig

    from pa_harness.checkpoints.checkpoint import Checkpoint

_PREFIX = "base_model.model."
_FACTORS = ("lora_A.weight", "lora_B.weight", "lora_embedding_A", "lora_embedding_B")
_COPY = ".base_layer.weight"  # peft saves the embedding it adapted
# Settings under which ΔW = scaling·B·A still holds; any other not at its default is refused.
_LINEAR = {
    *("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out"),
    *(
        "target_modules",
        "target_parameters",
        "exclude_modules",
        "layers_to_transform",
        "layers_pattern",
    ),
    *("lora_dropout", "task_type", "peft_type", "inference_mode", "auto_mapping", "revision"),
    *("base_model_name_or_path", "peft_version", "runtime_config", "megatron_core"),
    *("eva_config", "corda_config", "lora_ga_config", "loftq_config", "qalora_group_size"),
}
_MATCHING = 1.0  # seconds that one pattern may take for one name
_INITIALISATIONS = (True, False, "gaussian", "eva")  # the others change the base weights as well


@dataclass(frozen=True)
class LowRank:
    """One ΔW = scaling · left @ right.

    Attributes:
        left: [rows, r], any floating dtype.
        right: [r, columns].
        scaling: α/r, or α/√r for a rank-stabilised LoRA.
    """

    left: torch.Tensor
    right: torch.Tensor
    scaling: float

    def transposed(self) -> LowRank:
        """ΔWᵀ, for layers that store their weight transposed."""
        return LowRank(self.right.mT, self.left.mT, self.scaling)

    def stacked(self, count: int) -> LowRank:
        """One ΔW for each of `count` experts, as peft lays their factors out."""
        right = self.right.reshape(count, -1, self.right.shape[-1])
        left = self.left.reshape(self.left.shape[0], -1, count).permute(2, 0, 1)
        return LowRank(left, right, self.scaling)


@dataclass(frozen=True)
class Adapter:
    """What an adapter folder holds.

    Attributes:
        checkpoint: the folder.
        deltas: module name -> its ΔW, in the orientation of ``nn.Linear.weight``.
        parameters: names (or their ends) of parameters that are adapted by themselves.
        copies: module name -> the weight it was trained on, where peft saved it along (embeddings).
    """

    checkpoint: Checkpoint
    deltas: dict[str, LowRank]
    copies: dict[str, torch.Tensor]
    parameters: tuple[str, ...] = ()


def read_adapter(checkpoint: Checkpoint) -> Adapter:
    """The adapter in a folder.

    Raises:
        AdapterError: not a LoRA, or one that holds something λ does not scale linearly.
    """
    from peft import LoraConfig, PeftConfig

    if not (checkpoint.folder / "adapter_config.json").is_file():
        raise AdapterError(
            f"{checkpoint} has no adapter_config.json in {checkpoint.folder}. Expected a PEFT "
            "adapter folder; for a full model use instruct= instead of peft=."
        )
    checkpoint.read_json("adapter_config.json")
    try:
        config = PeftConfig.from_pretrained(str(checkpoint.folder))
    except Exception as error:  # whatever peft met, the cure is the same
        raise AdapterError(
            f"{checkpoint}: peft cannot read adapter_config.json: {first_line(error)}. Install the "
            "peft that wrote it, or correct the file."
        ) from error
    if not isinstance(config, LoraConfig) or config.peft_type != "LORA":
        raise AdapterError(
            f"{checkpoint} is a {config.peft_type} adapter. λ scales LoRA adapters only; merge "
            "this one into a full model with peft and pass that as instruct=."
        )
    _check_forms(checkpoint, config)
    _check_linear(checkpoint, config)
    factors, copies = _read_weights(checkpoint)
    deltas = _low_ranks(factors, config, checkpoint)
    if not any(bool(d.left.any()) and bool(d.right.any()) for d in deltas.values()):
        raise AdapterError(
            f"{checkpoint} was never trained (every ΔW is 0), so λ changes nothing. "
            "Check the argument."
        )
    return Adapter(checkpoint, deltas, copies, tuple(config.target_parameters or ()))


def adapter_fingerprint(checkpoint: Checkpoint) -> str:
    """A digest of the adapter's files."""
    digest = hashlib.sha256()
    for name in sorted(path.name for path in checkpoint.folder.glob("adapter_*")):
        digest.update(name.encode() + (checkpoint.folder / name).read_bytes())
    return f"content-{digest.hexdigest()[:32]}"


def _check_forms(checkpoint: Checkpoint, config: LoraConfig) -> None:
    """Peft takes what stands there, whatever it is."""
    forms: dict[str, Any] = {"r": int, "rank_pattern": dict, "alpha_pattern": dict}
    forms["target_parameters"] = (list, tuple, set)
    for name, form in forms.items():
        value = getattr(config, name)
        if value is not None and not isinstance(value, form):
            raise AdapterError(
                f"{checkpoint}: adapter_config.json: {name} is {value!r:.60}, a "
                f"{type(value).__name__}. Correct it, or take the file from where it came from."
            )


def _check_linear(checkpoint: Checkpoint, config: LoraConfig) -> None:
    defaults = type(config)()
    refused = [
        f"{field.name}={getattr(config, field.name)!r}"
        for field in fields(config)
        if field.name not in _LINEAR | {"init_lora_weights"}
        and (getattr(config, field.name) or getattr(defaults, field.name))
        and getattr(config, field.name) != getattr(defaults, field.name)
    ]
    if config.target_parameters and (config.rank_pattern or config.alpha_pattern):
        refused.append("target_parameters with rank_pattern or alpha_pattern")
    if config.init_lora_weights not in _INITIALISATIONS:
        refused.append(f"init_lora_weights={config.init_lora_weights!r}")
    if refused:
        raise AdapterError(
            f"{checkpoint} has settings under which λ does not scale the difference to the base "
            f"linearly:\n{listed(refused)}\nMerge the adapter into a full model with peft "
            "(merge_and_unload, save_pretrained) and pass that as instruct=."
        )


def _read_weights(
    checkpoint: Checkpoint,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The LoRA factors by key, and copies of base layers by module name."""
    from peft import load_peft_weights

    try:
        weights: dict[str, torch.Tensor] = load_peft_weights(str(checkpoint.folder), device="cpu")
    except Exception as error:  # safetensors, pickle, missing file: one cure
        raise AdapterError(
            f"{checkpoint}: its weights cannot be read: {first_line(error)}."
        ) from error
    copies = {
        name.removeprefix(_PREFIX).removesuffix(_COPY): weights.pop(name)
        for name in list(weights)
        if name.endswith(_COPY)
    }
    odd = sorted(name for name in weights if not name.endswith(_FACTORS))
    if odd:
        raise AdapterError(
            f"{checkpoint} holds {len(odd)} tensors that are not LoRA factors:\n{listed(odd)}\n"
            "Merge the adapter into a full model with peft and pass that as instruct=."
        )
    broken = sorted(name for name, value in weights.items() if not bool(value.isfinite().all()))
    if broken:
        raise AdapterError(
            f"{checkpoint} has NaN or Inf in:\n{listed(broken)}\nIts training went wrong; take "
            "an earlier save."
        )
    if not weights:
        raise AdapterError(
            f"{checkpoint} holds no LoRA factors. Expected adapter weights as peft saves them."
        )
    return weights, copies


def _low_ranks(
    weights: Mapping[str, torch.Tensor], config: LoraConfig, checkpoint: Checkpoint
) -> dict[str, LowRank]:
    deltas = {}
    for name in sorted({key.removeprefix(_PREFIX).partition(".lora_")[0] for key in weights}):
        linear = [weights.get(f"{_PREFIX}{name}.lora_{factor}.weight") for factor in "AB"]
        embedding = [weights.get(f"{_PREFIX}{name}.lora_embedding_{factor}") for factor in "AB"]
        a, b = linear if linear[0] is not None else embedding
        if a is None or b is None or a.dim() != 2 or b.dim() != 2:
            raise AdapterError(
                f"{checkpoint}: {name} lacks one of its two LoRA factors, or is not a linear or "
                "embedding layer. Merge the adapter with peft and pass the result as instruct=."
            )
        rank, alpha = _rank_and_alpha(config, name)
        experts = a.shape[0] // rank if config.target_parameters and rank else 1
        if not a.shape[0] == b.shape[1] == rank * experts or not rank:
            raise AdapterError(
                f"{checkpoint}: the factors of {name} have the shapes {list(b.shape)} and "
                f"{list(a.shape)}; expected rank {rank!r} (adapter_config.json)."
            )
        delta = LowRank(b, a, alpha / (rank**0.5 if config.use_rslora else rank))
        deltas[name] = delta if linear[0] is not None else delta.transposed()
    return deltas


def _rank_and_alpha(config: LoraConfig, module: str) -> tuple[int, float]:
    """Rank and α after the adapter's per-module patterns (peft's own matching rule)."""
    rank = _of_pattern(config.rank_pattern or {}, module, config.r)
    alpha = _of_pattern(config.alpha_pattern or {}, module, config.lora_alpha)
    if not isinstance(alpha, (int, float)) or not math.isfinite(alpha):
        raise AdapterError(
            f"lora_alpha={alpha!r} of {module} is not a number. Correct adapter_config.json."
        )
    return rank, float(alpha)


def _of_pattern(patterns: Mapping[str, Any], module: str, otherwise: Any) -> Any:
    """The value of the first pattern that the module's name ends in, as `peft` matches them.

    Differs from its `get_pattern_key` in that a pattern that takes for ever is refused.
    """
    import regex

    for pattern, value in patterns.items():
        try:
            found = regex.match(rf"(.*\.)?({pattern})$", module, timeout=_MATCHING)
        except (TimeoutError, regex.error) as error:
            why = "takes too long to match" if isinstance(error, TimeoutError) else str(error)
            raise AdapterError(
                f"adapter_config.json: the pattern {pattern!r} of rank_pattern or alpha_pattern, a "
                f"regular expression, {why} ({module}). Write the modules' names there."
            ) from None
        if found:
            return value
    return otherwise
