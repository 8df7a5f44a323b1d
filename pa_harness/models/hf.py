"""`--model partially_adapted`: lm-eval's HFLM with θ_λ for weights. λ is a model argument."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from lm_eval.api.registry import register_model

from pa_harness.checkpoints.vocabulary import neutral_generation_config
from pa_harness.lam.path import short_form
from pa_harness.models.adapted import AdaptedModel
from pa_harness.models.data_parallel import DataParallelLM
from pa_harness.models.generated import Thinking
from pa_harness.models.loading import LoadedWeights, fits_beside
from pa_harness.models.prefix_sharing import PrefixSharingLM
from pa_harness.weights.arguments import parse
from pa_harness.weights.identity import fixed_facts

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pa_harness.lam.schedule import Lam

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply
_PLACEMENT = {  # arguments that say where and in what portions, not what
    *("batch_size", "max_batch_size", "device", "parallelize", "device_map", "max_memory"),
    *("max_memory_per_gpu", "max_cpu_memory", "offload_folder", "offload_buffers"),
}
_DECIDED = {  # by the pair and its model arguments, not by HFLM
    *("revision", "dtype", "torch_dtype", "trust_remote_code"),
    *("gguf_file", "quantization_config", "subfolder"),
}


@register_model("partially_adapted")
class PartiallyAdaptedLM(AdaptedModel, DataParallelLM, PrefixSharingLM):
    """θ_λ = θ_base + λ (θ_instruct − θ_base), evaluated like ``--model hf``.

    (İrsoy et al. 2025, arXiv 2504.11626.) At λ = 0 and λ = 1 the weights are the two checkpoints
    bit for bit. Tokenizer, chat template, configuration and stopping are the same at every λ.
    """

    NAME = "partially_adapted"
    AUTO_MODEL_CLASS: Any
    _weights: LoadedWeights

    def __init__(self, /, **model_args: Any) -> None:
        """Open and check the pair, then let HFLM load θ_λ.

        Args:
            model_args: `pretrained`, one of `instruct` and `peft`, or `path`; `lam`, and what else
                `weights.arguments.ModelArgs` has; `tokenizer` (default: the last checkpoint's);
                everything else is HFLM's.

        Raises:
            ModelArgsError: an argument is missing, unknown or malformed.
            CheckpointError: a checkpoint cannot be found, read or trusted.
            PairError: the two do not belong together.
            AdapterError: the adapter is not linear in λ.
        """
        args, rest = parse(model_args, super().__init__)
        self.prefix_sharing = args.prefix_sharing
        self._given = {k: v for k, v in short_form(model_args).items() if k not in _PLACEMENT}
        self._open(args, rest, LoadedWeights)
        super().__init__(pretrained=args.pretrained, revision=args.revision or "main", **rest)
        self.thinking = Thinking.of(self.think_end_token, self.tokenizer)
        self._describe(self.model.get_input_embeddings().weight.shape[0])
        self.model.generation_config = neutral_generation_config(
            self._facts["stop_token_ids"], self.tokenizer, self._pair.config
        )
        self.model.name_or_path = args.pretrained
        self._keep = args.keep
        if args.keep == "auto":
            self._keep = "memory" if fits_beside(self.model, len(self._pair.knots)) else "files"
            _log.info("keep=%s: from where the next λ is made.", self._keep)
        if args.keep == "memory":
            self._weights.keep_in_memory(self.model)
        self._join()

    def _get_config(self, *_args: Any, **_kwargs: Any) -> None:
        self._config = self._pair.config

    def _create_tokenizer(self, pretrained: Any, tokenizer: Any, **kwargs: Any) -> None:
        if tokenizer is None or isinstance(tokenizer, str):
            source = self._tokenizer_checkpoint(tokenizer)
            tokenizer = str(source.folder)
            kwargs |= {"revision": None, "subfolder": ""}  # a resolved folder has neither
        else:
            source_name = str(tokenizer.name_or_path)
            self._facts = fixed_facts(self._args, self._weights, tokenizer, source_name)
        super()._create_tokenizer(pretrained, tokenizer, **kwargs)

    def _create_model(self, pretrained: str, **kwargs: Any) -> None:
        auto_class = self.AUTO_MODEL_CLASS
        self.AUTO_MODEL_CLASS = SimpleNamespace(from_pretrained=self._load)
        try:
            super()._create_model(pretrained, **kwargs)
        finally:
            self.AUTO_MODEL_CLASS = auto_class

    def _load(self, _pretrained: str, **kwargs: Any) -> PreTrainedModel:
        """Stands for `from_pretrained` of an Auto class: the pair's model with θ_λ in it.

        HFLM's own placement and attention arguments arrive untouched.
        """
        rest = {name: value for name, value in kwargs.items() if name not in _DECIDED}
        return self._weights.load(self._args.lam, **rest)

    def _change(self, lam: Lam) -> None:
        if self._keep == "memory" and not self._weights.in_memory:  # auto: once it is of use
            self._weights.keep_in_memory(self.model)
        self._weights.set_lam_(self.model, lam)

    def _count_parameters(self) -> int:
        return int(self.model.num_parameters())

    def _own_info(self) -> dict[str, Any]:
        own = {"softmax_dtype": str(self.softmax_dtype), "keep": self._keep}
        return {**own, **self.sharing_info()}

    def _bytes_beside(self) -> int:
        on_device = (each for each in self.model.parameters() if each.device.type != "cpu")
        originals = len(self._pair.knots) if self._keep == "memory" else 0
        return originals * sum(int(each.nbytes) for each in on_device)
