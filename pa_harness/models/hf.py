"""`--model partially_adapted`: lm-eval's HFLM with θ_λ for weights. λ is a model argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lm_eval.api.registry import register_model

from pa_harness.checkpoints.vocabulary import neutral_generation_config
from pa_harness.models.adapted import AdaptedModel
from pa_harness.models.data_parallel import DataParallelLM
from pa_harness.models.loading import LoadedWeights
from pa_harness.models.prefix_sharing import PrefixSharingLM
from pa_harness.weights.architecture import concrete_class
from pa_harness.weights.arguments import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

    from pa_harness.lam.schedule import Lam

_PLACEMENT = {  # arguments that say where and in what portions, not what
    *("batch_size", "max_batch_size", "device", "parallelize", "device_map", "max_memory"),
    *("max_memory_per_gpu", "max_cpu_memory", "offload_folder", "offload_buffers"),
}


@register_model("partially_adapted")
class PartiallyAdaptedLM(AdaptedModel, DataParallelLM, PrefixSharingLM):
    """θ_λ = θ_base + λ (θ_instruct − θ_base), evaluated like ``--model hf``.

    (İrsoy et al. 2025, arXiv 2504.11626.) At λ = 0 and λ = 1 the weights are the two checkpoints
    bit for bit. Tokenizer, chat template, configuration and stopping are the same at every λ.
    """

    NAME = "partially_adapted"
    _weights: LoadedWeights

    def __init__(self, /, **model_args: Any) -> None:
        """Open and check the pair, then let HFLM load θ_λ.

        Args:
            model_args: `pretrained`, one of `instruct` and `peft`, `lam`, and what else
                `arguments.ModelArgs` has; `tokenizer` (default: the instruct side's); everything
                else is HFLM's.

        Raises:
            ModelArgsError: an argument is missing, unknown or malformed.
            CheckpointError: a checkpoint cannot be found, read or trusted.
            PairError: the two do not belong together.
            AdapterError: the adapter is not linear in λ.
        """
        args, rest = parse(model_args, super().__init__)
        self.prefix_sharing = args.prefix_sharing
        self._given = {k: v for k, v in model_args.items() if k not in _PLACEMENT}
        self._open(args, rest, LoadedWeights)
        super().__init__(pretrained=args.pretrained, revision=args.revision or "main", **rest)
        self._finish()
        self._join()

    def _get_config(self, *_args: Any, **_kwargs: Any) -> None:
        self._config = self._pair.config

    def _create_tokenizer(self, pretrained: Any, tokenizer: Any, **kwargs: Any) -> None:
        if tokenizer is None or isinstance(tokenizer, str):
            source = self._tokenizer_checkpoint(tokenizer)
            tokenizer = str(source.folder)
            kwargs |= {"revision": None, "subfolder": ""}  # a resolved folder has neither
        else:
            self._tokenizer_source = str(tokenizer.name_or_path)
        super()._create_tokenizer(pretrained, tokenizer, **kwargs)

    def _create_model(self, pretrained: str, **kwargs: Any) -> None:
        auto_class = getattr(self, "AUTO_MODEL_CLASS")  # noqa: B009 -- HFLM gives it no type
        self.AUTO_MODEL_CLASS = _StandIn(self.load_weights, auto_class)
        try:
            super()._create_model(pretrained, **kwargs)
        finally:
            self.AUTO_MODEL_CLASS = auto_class

    def load_weights(self, auto_class: Any, **kwargs: Any) -> PreTrainedModel:
        """The model that HFLM evaluates, with θ_λ in it.

        Args:
            auto_class: the Auto class that HFLM chose.
            kwargs: placement and attention arguments for `from_pretrained`.
        """
        cls = concrete_class(auto_class, self._pair.config, self._pair.base)
        model, notes = self._weights.load(cls, self._args.lam, **kwargs)
        self._notes += notes
        return model

    def _change(self, lam: Lam) -> None:
        self._weights.set_lam_(self.model, lam)

    def _count_parameters(self) -> int:
        return int(self.model.num_parameters())

    def _cost_info(self) -> dict[str, Any]:
        return self.sharing_info()

    def _finish(self) -> None:
        """What is decided once the tokenizer is complete and the weights are in place."""
        self._describe(self.model.get_input_embeddings().weight.shape[0])
        self.model.generation_config = neutral_generation_config(
            self._stops, self.tokenizer, self._pair.config
        )
        self.model.name_or_path = self._args.pretrained
        if self._args.keep == "memory":
            self._weights.keep_in_memory(self.model)


class _StandIn:
    """Stands where HFLM expects an Auto class; HFLM's own placement arguments arrive untouched."""

    _DECIDED = (  # by the pair and its model arguments, not by HFLM
        *("revision", "dtype", "torch_dtype", "trust_remote_code"),
        *("gguf_file", "quantization_config", "subfolder"),
    )

    def __init__(self, load: Callable[..., PreTrainedModel], auto_class: Any) -> None:
        self._load, self._auto_class = load, auto_class

    def from_pretrained(self, _name: str, **kwargs: Any) -> PreTrainedModel:
        """The model that `load` makes of the Auto class and the arguments left to HFLM."""
        rest = {name: value for name, value in kwargs.items() if name not in self._DECIDED}
        return self._load(self._auto_class, **rest)
