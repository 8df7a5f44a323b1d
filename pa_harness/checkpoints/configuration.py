"""Which differences between two model configurations change the function, and which do not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.errors import CheckpointError, PairError, listed

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from pa_harness.checkpoints.checkpoint import Checkpoint

# Names, descriptions and training-time settings: not part of the function that is evaluated.
_HARMLESS = re.compile(
    r"(_name_or_path|name_or_path|transformers_version|architectures|auto_map|dtype|torch_dtype"
    r"|.*(bos|eos|pad|sep|cls|unk|decoder_start)_token_id|use_cache|return_dict.*|output_.*"
    r"|id2label|label2id|num_labels|problem_type|finetuning_task|task_specific_params|tokenizer_class"
    r"|initializer_.*|.*dropout.*|.*_pdrop|gradient_checkpointing|pretraining_tp|unsloth_.*|_.*"
    r"|router_aux_loss_coef|max_length|min_length|do_sample|temperature|top_[kp]|repetition_penalty"
    r"|chunk_size_feed_forward|is_(llama_|encoder_)?config.*|quantization_config|summary_.*"
    r"|vocab_size)"  # the rows of the embedding are compared with the tensors
)
# The model runs with either value and differs only beyond the shorter context.
_LENGTHS = re.compile(r"(max_position_embeddings|n_positions|n_ctx|max_sequence_length|seq_length)")
# Anything that matches changes what the same weights compute.
_FUNCTION = re.compile(
    r"(model_type|.*(size|layers|layer|heads|head|dim|_embd|inner|groups|experts|per_tok|rank)"
    r"|.*rope.*|.*rotary.*|partial_.*|original_max.*|sliding_window.*|use_sliding_window"
    r"|max_window_layers|layer_types|attention_chunk.*|no_rope.*|.*(eps|epsilon)|.*act|.*activation.*"
    r"|hidden_act|.*bias|tie_.*|.*softcap.*|.*scal(e|ar|ing).*|.*multiplier.*|.*norm.*|clip_qkv|alibi"
    r"|use_parallel_residual|.*router.*|factor|.*_factor|mscale.*|beta_.*|moe_.*|.*theta.*)"
)


@dataclass(frozen=True)
class Difference:
    """One setting that differs.

    Attributes:
        name: dotted name of the setting.
        base: the base's value, None when it has no such setting.
        instruct: the instruct's value, likewise.
        changes_function: whether the same weights compute something else under the two values.
    """

    name: str
    base: object
    instruct: object
    changes_function: bool

    def __str__(self) -> str:
        """The name and both values."""
        return f"{self.name}: base {self.base!r}, instruct {self.instruct!r}"


def read_config(checkpoint: Checkpoint, *, trust_remote_code: bool = False) -> PretrainedConfig:
    """The configuration of a checkpoint, in transformers' current names.

    Raises:
        CheckpointError: missing, unreadable, of an unknown architecture, or quantised.
    """
    from transformers import AutoConfig

    if not (checkpoint.folder / "config.json").is_file():
        raise CheckpointError(
            f"{checkpoint} has no config.json in {checkpoint.folder}. Expected a Hugging Face "
            "checkpoint folder; copy the configuration beside the weights."
        )
    raw = checkpoint.read_json("config.json")
    quantised = raw.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
        raise CheckpointError(
            f"{checkpoint} is quantised ({method}). Interpolating quantised values is "
            "meaningless. Use the unquantised checkpoint."
        )
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            checkpoint.folder, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # its validators have classes of their own
        raise CheckpointError(
            f"{checkpoint}: transformers cannot use {checkpoint.folder / 'config.json'}: {error}\n"
            "Restore the file, or install a transformers that knows it."
        ) from error
    if not trust_remote_code:
        config.auto_map = {}  # nobody downstream may import the checkpoint's own code
    return config


def compare_configs(base: PretrainedConfig, instruct: PretrainedConfig) -> list[Difference]:
    """Every difference that is not harmless, function-changing ones first.

    Settings that neither list knows count as possibly harmful and are reported as not
    function-changing, so that they are shown but do not stop a new architecture.
    """
    ours, theirs = _flatten(base.to_dict()), _flatten(instruct.to_dict())
    differences = []
    for name in sorted(ours.keys() | theirs.keys()):
        leaf = name.rpartition(".")[2]
        if ours.get(name) == theirs.get(name) or _HARMLESS.fullmatch(leaf):
            continue
        changes = not _LENGTHS.fullmatch(leaf) and bool(_FUNCTION.fullmatch(leaf))
        differences.append(Difference(name, ours.get(name), theirs.get(name), changes))
    return sorted(differences, key=lambda difference: not difference.changes_function)


def choose_config(
    base: PretrainedConfig, instruct: PretrainedConfig, config_from: str | None
) -> tuple[PretrainedConfig, list[str]]:
    """The configuration M_λ runs with, and what to warn of.

    Args:
        base: the base's configuration.
        instruct: the instruct's.
        config_from: None takes the instruct's and refuses function-changing differences; "base" or
            "instruct" takes that one and turns them into warnings.

    Raises:
        PairError: the two configurations make the same weights compute different functions.
    """
    differences = compare_configs(base, instruct)
    fatal = [difference for difference in differences if difference.changes_function]
    if fatal and config_from is None:
        raise PairError(
            f"base and instruct differ in {len(fatal)} settings that change what the same weights "
            f"compute:\n{listed(fatal)}\nExpected an instruct model tuned from this very base. "
            "Check the pair; if it is right, say whose settings to use: config_from=base or "
            "config_from=instruct."
        )
    whose = config_from or "instruct"
    warnings = [
        f"configurations differ ({difference}); using the {whose}'s" for difference in differences
    ]
    return (base if whose == "base" else instruct), warnings


def _flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and not _HARMLESS.fullmatch(str(key)):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
