"""What transformers makes of a configuration: a class, and its parameters by name."""

from __future__ import annotations

import copy
import inspect
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from pa_harness.checkpoints.initialisation import find_overwritten
from pa_harness.errors import CheckpointError, first_line

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.checkpoints.initialisation import Initialiser

_IMAGES = ("AutoModelForMultimodalLM", "AutoModelForImageTextToText")
_FOR_TEXT = ("AutoModelForCausalLM", *_IMAGES)
_FOR_ALL = (*_IMAGES, "AutoModelForCausalLM")


@dataclass(frozen=True)
class Architecture:
    """A model class with its configuration, without weights.

    Attributes:
        cls: the concrete class.
        config: what `cls` is made from: of a wrapper (images, sounds) the whole or its text part.
        dtype: of the model.
        checkpoint: whose config.json it is, for messages.
    """

    cls: type[PreTrainedModel]
    config: PretrainedConfig
    dtype: torch.dtype
    checkpoint: Checkpoint

    @cached_property
    def shell(self) -> PreTrainedModel:
        """The model on the meta device, made as `from_pretrained` makes it.

        Raises:
            CheckpointError: the configuration makes no model.
        """
        from transformers.utils.generic import ContextManagers

        try:
            contexts = self.cls.get_init_context(self.dtype, False, False, None)
            with ContextManagers(contexts):
                shell = self.cls(copy.deepcopy(self.config))
            shell.tie_weights()
        except Exception as error:  # whatever the architecture met, the cure is the same
            raise CheckpointError(
                f"{self.checkpoint}: transformers cannot build {self.cls.__name__} from "
                f"config.json: {type(error).__name__}: {first_line(error)}\nCheck that config.json "
                "is the one these weights were saved with."
            ) from error
        return shell

    @cached_property
    def _by_tensor(self) -> dict[int, list[str]]:
        """State-dict names by the storage that they stand for; what others are tied to first."""
        tied: dict[str, str] = getattr(self.shell, "all_tied_weights_keys", None) or {}
        found: dict[int, list[str]] = {}
        for name, tensor in self.shell.state_dict(keep_vars=True).items():
            found.setdefault(id(tensor), []).append(name)
        return {key: sorted(names, key=tied.__contains__) for key, names in found.items()}

    @cached_property
    def stored(self) -> dict[str, torch.Tensor]:
        """Name -> parameter or stored buffer (no values), each storage once."""
        state = self.shell.state_dict(keep_vars=True)
        return {names[0]: state[names[0]] for names in self._by_tensor.values()}

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Further names of what `stored` has: name -> name there (a tied head -> the embedding)."""
        return {alias: names[0] for names in self._by_tensor.values() for alias in names[1:]}

    @cached_property
    def shell_names(self) -> set[str]:
        """Every name of the state dict, aliases included."""
        return {*self.stored, *self.aliases}

    @cached_property
    def dtypes(self) -> dict[str, torch.dtype]:
        """Of every parameter and buffer in `stored`, as transformers holds it once loaded.

        The model's own, but for modules that it keeps in fp32, and integers.
        """
        from transformers.core_model_loading import build_glob_alternation

        plan = self.shell._get_dtype_plan(self.dtype)  # noqa: SLF001 -- has no public reader
        kept, by_group, _ = build_glob_alternation(list(plan))
        found = {}
        for name, tensor in self.stored.items():
            match = kept.search(name) if plan else None
            found[name] = plan[by_group[str(match.lastgroup)]] if match else tensor.dtype
        return found

    @cached_property
    def overwritten(self) -> dict[str, list[Initialiser]]:
        """What transformers' initialisation writes to after every load (see `initialisation`).

        Raises:
            CheckpointError: it writes random values, so that no two loads are the same model.
        """
        found, drawn = find_overwritten(self.shell, self.stored)
        if drawn:
            raise CheckpointError(
                f"{self.checkpoint}: {self.cls.__name__} fills {drawn[0]} with random values after "
                "every load, so that its answers are random, too. Use another transformers, or "
                "other code of the model."
            )
        return found

    @cached_property
    def decoder(self) -> str:
        """Path of what has the embedding of tokens: the text model without its head."""
        found = self.shell.get_input_embeddings()
        paths = (path for path, each in self.shell.named_modules() if each is found)
        return next(paths, "").rpartition(".")[0]

    @cached_property
    def code(self) -> str:
        """The source of the modules that the model is made of, and of its kinds of positions."""
        modules = {sys.modules[type(each).__module__] for each in self.shell.modules()}
        files = [m for m in modules if not m.__name__.startswith("torch.")]
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, dynamic_rope_update

        positions = [*ROPE_INIT_FUNCTIONS.values(), dynamic_rope_update]
        sources: list[Any] = [*files, *positions]
        return "\n".join(inspect.getsource(each) for each in sources)

    @cached_property
    def modules(self) -> dict[str, Any]:
        """Path -> type, plain attributes and shapes of every module: what they compute with."""
        plain = (bool, int, float, str, type(None))
        return {
            path: (
                type(module),
                {name: v for name, v in vars(module).items() if isinstance(v, plain)},
                {name: p.shape for name, p in module.named_parameters(recurse=False)},
            )
            for path, module in self.shell.named_modules()
        }

    def tolerated(self, names: set[str], *, missing: bool) -> set[str]:
        """Those of the names that transformers says nothing of when it loads this model.

        Args:
            names: parameters that no file has (`missing`), or keys that stand for none.
            missing: which of the two.
        """
        from transformers.utils.loading_report import LoadStateDictInfo

        absent, unexpected = (set(names), set()) if missing else (set(), set(names))
        info = LoadStateDictInfo(absent, unexpected, set(), [], {}, set())
        self.shell._adjust_missing_and_unexpected_keys(info)  # noqa: SLF001 -- has no public reader
        return names - (info.missing_keys if missing else info.unexpected_keys)

    def with_config(self, **settings: Any) -> Architecture:
        """The same with other settings, in the whole configuration and in its text part."""
        config = copy.deepcopy(self.config)
        for part in {id(each): each for each in (config, config.get_text_config())}.values():
            for name, value in settings.items():
                setattr(part, name, value)
        return Architecture(self.cls, config, self.dtype, self.checkpoint)


def text_model(
    config: PretrainedConfig, checkpoint: Checkpoint
) -> tuple[type[PreTrainedModel], PretrainedConfig]:
    """Class and configuration of the language model, as `--model hf` takes them.

    An encoder-decoder where lm-eval takes it for one; else the class for causal language modelling,
    with the text part of a wrapper's configuration where that is what the class is made from; else
    (`hf` has none) the wrapper of images or sounds itself.

    Raises:
        CheckpointError: there is no language model of this kind, or none that text is enough for.
    """
    from transformers.models.auto import modeling_auto

    seq2seq = config.model_type in modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    found = _picked(config, checkpoint, ("AutoModelForSeq2SeqLM",) * seq2seq + _FOR_TEXT)
    _check_needs_text_only(found[0], checkpoint)
    return found


def whole_model(
    config: PretrainedConfig, checkpoint: Checkpoint
) -> tuple[type[PreTrainedModel], PretrainedConfig]:
    """Class and configuration of all that the checkpoint holds, a wrapper's image part included."""
    from transformers.models.auto import modeling_auto

    if config.model_type in modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return text_model(config, checkpoint)
    return _picked(config, checkpoint, _FOR_ALL)


def _picked(
    config: PretrainedConfig, checkpoint: Checkpoint, autos: tuple[str, ...]
) -> tuple[type[PreTrainedModel], PretrainedConfig]:
    """What the first Auto class that knows the configuration would pick."""
    import transformers

    for name in autos:
        remote = (getattr(config, "auto_map", None) or {}).get(name)
        if remote is not None:
            from transformers.dynamic_module_utils import get_class_from_dynamic_module

            return get_class_from_dynamic_module(remote, checkpoint.folder), config
        mapping = getattr(transformers, name)._model_mapping  # noqa: SLF001 -- has no public reader
        if type(config) not in mapping:
            continue
        found = mapping[type(config)]
        candidates = found if isinstance(found, (list, tuple)) else (found,)
        named = [cls for cls in candidates if cls.__name__ in (config.architectures or [])]
        chosen: type[PreTrainedModel] = (named or list(candidates))[0]
        text = config.sub_configs.get("text_config")
        is_text_part = text is not None and getattr(chosen, "config_class", None) == text
        return chosen, config.get_text_config() if is_text_part else config
    raise CheckpointError(
        f"{checkpoint} is of the type {config.model_type!r}, for which transformers has no model "
        "that continues text. Expected a language model, or a wrapper of one."
    )


def _check_needs_text_only(cls: type[PreTrainedModel], checkpoint: Checkpoint) -> None:
    needed = [
        each.name
        for each in inspect.signature(cls.forward).parameters.values()
        if each.default is each.empty
        and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        and each.name not in ("self", "input_ids", "attention_mask", "decoder_input_ids")
    ]
    if needed:
        raise CheckpointError(
            f"{checkpoint} is a {cls.__name__}, which does not continue a text alone: it needs "
            f"{', '.join(needed)}. Expected a language model, or a wrapper of one."
        )


def layer_shape(key: str) -> str:
    """A key with its layer numbers levelled: equal for the same tensor of any layer."""
    return re.sub(r"\.\d+(?=\.)", ".0", key)
