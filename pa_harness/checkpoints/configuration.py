"""Which differences between two model configurations change the function, and which do not."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.errors import CheckpointError, PairError, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from transformers import PretrainedConfig

    from pa_harness.checkpoints.architecture import Architecture
    from pa_harness.checkpoints.checkpoint import Checkpoint

# Names, descriptions and training-time settings: not part of the function that is evaluated.
_HARMLESS = re.compile(
    r"(_name_or_path|name_or_path|transformers_version|architectures|auto_map|dtype|torch_dtype"
    r"|.*(bos|eos|pad|sep|cls|unk|decoder_start)_token_id|use_cache|return_dict.*|output_.*"
    r"|id2label|label2id|num_labels|problem_type|finetuning_task|task_specific_params|tokenizer_class"
    r"|initializer_.*|.*dropout.*|.*_pdrop|gradient_checkpointing|pretraining_tp|unsloth_.*|_.*"
    r"|router_aux_loss_coef|max_length|min_length|do_sample|temperature|top_[kp]|repetition_penalty"
    r"|chunk_size_feed_forward|is_(llama_|encoder_)?config.*|quantization_config|summary_.*"
    r"|vocab_size|type)"  # rows are compared as such; rope_type says what type says
)
# The model runs with either value and differs only beyond the shorter context.
_LENGTHS = re.compile(r"(max_position_embeddings|n_positions|n_ctx|max_sequence_length|seq_length)")
_EFFECTS = {  # what a setting that the model reads changes
    r".*rope.*|.*rotary.*|.*theta.*|.*factor|mscale.*|beta_.*|original_max.*|alibi": "positions",
    r".*window.*|layer_types|attention_chunk.*|no_rope.*": "which tokens attention sees",
    r".*(eps|epsilon)|.*norm.*": "normalisation",
    r".*act|.*activation.*": "the activation function",
    r".*softcap.*|.*scal(e|ar|ing).*|.*multiplier.*|clip_qkv": "the scale of activations",
    r".*bias": "which biases are added",
    r".*expert.*|.*router.*|moe_.*|.*topk.*|.*per_tok|.*group.*": "which experts compute a token",
    r".*(size|layers|layer|heads|head|dim|_embd|inner|rank)": "the shape of the model",
}


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
        """The name, both values, and what they change."""
        text = f"{self.name}: base {self.base!r}, instruct {self.instruct!r}"
        leaf = self.name.rpartition(".")[2]
        effects = [words for form, words in _EFFECTS.items() if re.fullmatch(form, leaf)]
        return f"{text} (changes {effects[0]})" if effects and self.changes_function else text


# The names that transformers' configurations have for them.
_LAYERS = re.compile(r"(num|n)_(\w+_)?(layers?|blocks?)|n_layers?|(\w+_)?(layers|depth)")
_EXPERTS = re.compile(r"(num|n)_(\w+_)?experts")
# Built in seconds, whatever the files hold: they may leave a part out (images of a text model).
_FEW_LAYERS, _FEW_EXPERTS = 2_000, 100_000


def read_config(checkpoint: Checkpoint, *, trust_remote_code: bool = False) -> PretrainedConfig:
    """The configuration of a checkpoint, in transformers' current names.

    Raises:
        CheckpointError: missing, unreadable, or of an unknown architecture.
    """
    from transformers import AutoConfig

    if not (checkpoint.folder / "config.json").is_file():
        raise CheckpointError(
            f"{checkpoint} has no config.json in {checkpoint.folder}. Expected a Hugging Face "
            "checkpoint folder; copy the configuration beside the weights."
        )
    _check_sizes(checkpoint.read_json("config.json"), checkpoint)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            checkpoint.folder, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # its validators have classes of their own
        raise CheckpointError(
            f"{checkpoint}: transformers cannot use {checkpoint.folder / 'config.json'}: "
            f"{error}\nInstall a transformers that knows this configuration, or "
            "correct it."
        ) from error
    for part in {id(each): each for each in (config, config.get_text_config())}.values():
        for name in ("quantization_config", "compression_config"):
            vars(part).pop(name, None)  # the files decide, see `quantised`
    own = getattr(config, "auto_map", None) if trust_remote_code else None
    config.auto_map = own or {}  # nobody downstream may import the checkpoint's own code unasked
    return config


def _check_sizes(content: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Refuse counts of layers and experts beyond what the files hold: each has a tensor or a row.

    A model of a thousand million layers takes for ever even without values, and transformers makes
    a list of layers while it reads the configuration.
    """
    counts = list(_counts(content))
    layers = [(n, name) for name, n in counts if _LAYERS.fullmatch(name.rpartition(".")[2])]
    experts = [(n, name) for name, n in counts if _EXPERTS.fullmatch(name.rpartition(".")[2])]
    deepest, most = max(layers, default=(1, "")), max(experts, default=(0, ""))
    if deepest[0] <= _FEW_LAYERS and deepest[0] * most[0] <= _FEW_EXPERTS:
        return
    held = len(checkpoint.tensors)
    rows = max(next(iter(each.get_shape()), 0) for each in checkpoint.tensors.values())
    too_deep = deepest[0] > max(_FEW_LAYERS, held)
    too_many = deepest[0] * most[0] > max(_FEW_EXPERTS, held) and most[0] > rows
    if too_deep or too_many:
        count, name = deepest if too_deep else most
        raise CheckpointError(
            f"{checkpoint}: config.json says {name}={count}, but the files hold "
            f"{held} tensors of at most {rows} rows. Check that config.json is the one these "
            "weights were saved with."
        )


def _counts(content: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, int]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _counts(value, f"{place}{name}.")
        elif isinstance(value, int):
            yield f"{place}{name}", value


def compare_configs(base: Architecture, instruct: Architecture) -> list[Difference]:
    """Every difference that is not harmless, function-changing ones first.

    Compared are the configuration class's own values, defaults filled in. A difference changes the
    function where the model's own code reads the setting (by its name). `tie_word_embeddings` does
    where the forward pass reads it (Switch Transformers scale by it); else a tied head is one that
    equals the embedding.

    Args:
        base: the base's model.
        instruct: the instruct's, of the same class.
    """
    ours, theirs = _flatten(base.config.to_dict()), _flatten(instruct.config.to_dict())
    names = [
        name
        for name in sorted(ours.keys() | theirs.keys())
        if not _equal(ours.get(name), theirs.get(name))
        and not _HARMLESS.fullmatch(name.rpartition(".")[2])
    ]
    if not names:
        return []
    code = base.code
    differences = []
    for name in names:
        values = ours.get(name), theirs.get(name)
        leaf = name.rpartition(".")[2]
        read = inspect.getsource(base.cls.forward) if leaf == "tie_word_embeddings" else code
        changes = (
            not _LENGTHS.fullmatch(leaf)
            and _reads(read, leaf, base.config)
            and not _is_default_spelled_out(name, values, (base, instruct))
        )
        differences.append(Difference(name, *values, changes))
    return sorted(differences, key=lambda difference: not difference.changes_function)


def choose_config(
    base: Architecture, instruct: Architecture, config_from: str | None
) -> tuple[str, list[str]]:
    """Whose configuration M_λ runs with ("base" or "instruct"), and what to warn of.

    Args:
        base: the base's model.
        instruct: the instruct's, of the same class.
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
    return whose, warnings


def _equal(ours: object, theirs: object) -> bool:
    """Equal; None, 0, False and nothing all switch a setting off."""
    return ours == theirs or (not ours and not theirs)


def _reads(code: str, leaf: str, config: PretrainedConfig) -> bool:
    """Whether the model's code names the setting, under any of its names."""
    names = {leaf, *(alias for alias, name in config.attribute_map.items() if name == leaf)}
    return any(re.search(rf"\b{re.escape(name)}\b", code) for name in names)


def _is_default_spelled_out(
    name: str, values: tuple[object, object], sides: tuple[Architecture, Architecture]
) -> bool:
    """Whether None and a whole number make the same modules, as head_dim and null do."""
    numbers = [value for value in values if isinstance(value, int)]
    if "." in name or len(numbers) != 1 or None not in values:
        return False
    silent = sides[values.index(None)]
    return silent.modules == silent.with_config(**{name: numbers[0]}).modules


def _flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and not _HARMLESS.fullmatch(str(key)):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
