"""`--model partially_adapted`: lm-eval's HFLM with θ_λ for weights. λ is a model argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lm_eval.api.registry import register_model

from pa_harness.checkpoints.vocabulary import neutral_generation_config
from pa_harness.models.adapted import AdaptedModel
from pa_harness.models.data_parallel import DataParallelLM
from pa_harness.models.prefix_sharing import PrefixSharingLM
from pa_harness.models.provenance import separate_cache
from pa_harness.weights.adapted import AdaptedWeights
from pa_harness.weights.architecture import StandIn, concrete_class
from pa_harness.weights.arguments import parse, read_lam
from pa_harness.weights.opening import adapted_weights, attach_adapter, open_pair

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pa_harness.weights.adapted import Lam

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
        self._args, rest = parse(model_args, super().__init__)
        self.prefix_sharing = self._args.prefix_sharing
        self._given = {k: v for k, v in model_args.items() if k not in _PLACEMENT}
        self._trust = bool(rest.get("trust_remote_code"))
        self._pair = open_pair(self._args, trust_remote_code=self._trust)
        self._weights = adapted_weights(self._args, self._pair, rest.get("dtype"), AdaptedWeights)
        super().__init__(
            pretrained=self._args.pretrained,
            revision=self._args.revision or "main",
            **rest,
        )
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
        self.AUTO_MODEL_CLASS = StandIn(self.load_weights, auto_class)
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
        cls = concrete_class(auto_class, self._pair)
        if self._args.peft:
            attach_adapter(self._pair, cls)
        return self._weights.load(cls, self._args.lam, **kwargs)

    def _model_call(self, *args: Any, **kwargs: Any) -> Any:
        self._check_whole()
        return super()._model_call(*args, **kwargs)

    def _model_generate(self, *args: Any, **kwargs: Any) -> Any:
        self._check_whole()
        return super()._model_generate(*args, **kwargs)

    def set_lam(self, lam: Lam | dict[str, Any] | str) -> None:
        """Change λ in place, from the originals; neither model nor tokenizer is loaded again.

        Args:
            lam: any finite number, or a schedule in any form that the model argument has.

        Raises:
            ModelArgsError: not a finite number or schedule.
            PAHarnessError: weights are off-loaded to disk.
        """
        try:
            self._weights.set_lam_(self.model, read_lam(lam))
        finally:  # an interrupted change has a table of its own, which nothing is written to
            separate_cache(self._hook, self.identity)
        self._warn_of_rounding()

    def _count_parameters(self) -> int:
        return int(self.model.num_parameters())

    def _fixed_info(self) -> dict[str, Any]:
        return {**super()._fixed_info(), "softmax_dtype": str(self.softmax_dtype)}

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
