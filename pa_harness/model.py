"""`--model partially_adapted`: lm-eval's HFLM with θ_λ for weights. λ is a model argument."""

from __future__ import annotations

import logging
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from lm_eval.api.registry import register_model
from lm_eval.utils import simple_parse_args_string

from pa_harness import __version__
from pa_harness.adapter import adapter_fingerprint
from pa_harness.architecture import StandIn, concrete_class
from pa_harness.arguments import parse, read_lam
from pa_harness.errors import PAHarnessError
from pa_harness.interpolation import EffectiveLam
from pa_harness.opening import adapted_weights, attach_adapter, tokenizer_source
from pa_harness.pair import open_pair
from pa_harness.prefix_sharing import PrefixSharingLM
from pa_harness.provenance import digest, doubts, measured, separate_cache, side
from pa_harness.schedule import Schedule
from pa_harness.vocabulary import (
    check_vocabulary,
    ids_without_rows,
    neutral_generation_config,
    read_tokenizer,
    stop_ids,
    tokenizer_digest,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pa_harness.loading import Lam

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply
_PLACEMENT = {  # arguments that say where and in what portions, not what
    *("batch_size", "max_batch_size", "device", "parallelize", "device_map", "max_memory"),
    *("max_memory_per_gpu", "max_cpu_memory", "offload_folder", "offload_buffers"),
}


@register_model("partially_adapted")
class PartiallyAdaptedLM(PrefixSharingLM):
    """θ_λ = θ_base + λ (θ_instruct − θ_base), evaluated like ``--model hf``.

    (İrsoy et al. 2025, arXiv 2504.11626.) At λ = 0 and λ = 1 the weights are the two checkpoints
    bit for bit. Tokenizer, chat template, configuration and stopping are the same at every λ.
    """

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
        self._hook: Any = None
        self._trust = bool(rest.get("trust_remote_code"))
        self._pair = open_pair(self._args, trust_remote_code=self._trust)
        self._weights = adapted_weights(self._args, self._pair, rest.get("dtype"))
        super().__init__(
            pretrained=self._args.pretrained,
            revision=self._args.revision or "main",
            **rest,
        )
        self._finish()

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> PartiallyAdaptedLM:
        """What lm-eval's command calls; --model_args come before its own --batch_size, --device."""
        options = {name: v for name, v in (additional_config or {}).items() if v is not None}
        return cls(**options | arg_dict)

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> PartiallyAdaptedLM:
        """The same for arguments in one ``key=value,...`` string."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    def _get_config(self, *_args: Any, **_kwargs: Any) -> None:
        self._config = self._pair.config

    def _create_tokenizer(self, pretrained: Any, tokenizer: Any, **kwargs: Any) -> None:
        if tokenizer is None or isinstance(tokenizer, str):
            pair = self._pair
            source = tokenizer_source(tokenizer, pair)
            read_tokenizer(source, trust_remote_code=self._trust)  # for its clear error
            if source is not pair.base and (tokenizer or self._args.peft):
                pair.notes += check_vocabulary(pair.base, source, trust_remote_code=self._trust)
            self._tokenizer_source = source.name
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

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Give every pair and λ a table of its own in a --use_cache file."""
        self._hook = cache_hook
        separate_cache(cache_hook, self.identity)
        super().set_cache_hook(cache_hook)

    def get_model_info(self) -> dict[str, Any]:
        """What was run, for the results file.

        Returns:
            `lam` (None under a schedule, which is then in `model_args`); `lam_eff`,
            `rounding_noise` and `relative_delta` (fractions, absent where undefined; per tensor too
            under ``lam_eff=tensors``); both sides with name, revision and commit or content
            fingerprint; `weights`, a fingerprint of θ_λ; arithmetic, tokenizer, template, stop ids;
            versions; `notes` (what was warned of); `identity`.
        """
        scheduled = isinstance(self.lam, Schedule)
        info: dict[str, Any] = {
            "model": "partially_adapted",  # lm-eval names an object after its configuration
            "model_args": {**self._given, "lam": self._plain_lam()},
            "model_num_parameters": self.model.num_parameters(),
            "model_dtype": str(self._weights.dtype),
            "model_revision": self._args.revision or "",
            "model_sha": self._sides["base"]["sha"],
            "lam": None if scheduled else self.lam,
            "weights": self._weights.fingerprint(),
            **measured(self.effective_lam()),
            **self._sides,
            **self._fixed_info(),
            "identity": self.identity,
            **self.sharing_info(),
            "notes": list(self._pair.notes),
            "versions": {
                "pa_harness": __version__,
                **{name: version(name) for name in ("lm_eval", "transformers", "torch", "peft")},
            },
        }
        if self._args.lam_eff == "tensors":
            each = self.effective_lam_per_tensor()
            info["lam_eff_tensors"] = {key: measured(value) for key, value in each.items()}
        return info

    @property
    def lam(self) -> Lam | None:
        """λ or schedule of the weights in place; None after an interrupted `set_lam`."""
        return self._weights.lam

    @property
    def identity(self) -> str:
        """A digest of what can change an answer: pair, λ, arithmetic, configuration, arguments."""
        arguments = {name: value for name, value in self._given.items() if name != "lam"}
        return digest(
            [self._plain_lam(), arguments, self._sides, self._fixed_info(), self.max_length]
        )

    def _plain_lam(self) -> float | dict[str, Any] | None:
        return self.lam.as_dict() if isinstance(self.lam, Schedule) else self.lam

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

    def effective_lam(self) -> EffectiveLam:
        """λ_eff, rounding noise and relative delta of the whole model."""
        return self._weights.effective_lam()

    def effective_lam_per_tensor(self) -> dict[str, EffectiveLam]:
        """The same per checkpoint tensor."""
        return self._weights.effective_lam_per_tensor()

    def _check_whole(self) -> None:
        if self.lam is None:
            raise PAHarnessError(
                "The last change of λ did not finish, so the weights have no λ. Call set_lam again."
            )

    def _finish(self) -> None:
        """What is decided once the tokenizer is complete and the weights are in place."""
        args, pair, sums = self._args, self._pair, self._weights.findings.checksums
        self._stops = stop_ids(pair.base, pair.instruct, self.tokenizer)
        self.model.generation_config = neutral_generation_config(
            self._stops, self.tokenizer, pair.config
        )
        self.model.name_or_path = args.pretrained
        self._tokenizer_digest = tokenizer_digest(self.tokenizer)
        settings = {k: v for k, v in pair.config.to_dict().items() if k != "_name_or_path"}
        self._config_digest = digest(settings)
        pair.notes += ids_without_rows(
            self.tokenizer, self.model.get_input_embeddings().weight.shape[0]
        )
        self._sides = {"base": side(pair.base, pair.base.fingerprint(sums["base"]))}
        if args.peft:
            self._sides["peft"] = side(pair.instruct, adapter_fingerprint(pair.instruct))
        else:
            fingerprint = pair.instruct.fingerprint(sums["instruct"])
            self._sides["instruct"] = side(pair.instruct, fingerprint)
        if args.keep == "memory":
            self._weights.keep_in_memory(self.model)
        for note in pair.notes:
            _log.warning("%s", note)
        self._warn_of_rounding()

    def _fixed_info(self) -> dict[str, Any]:
        """The part of `get_model_info` that is the same at every λ."""
        template, rounding = self.tokenizer.chat_template, self._args.rounding
        seed = f" with seed {self._args.rounding_seed}" if rounding == "stochastic" else ""
        return {
            "arithmetic": f"fp32 lerp, rounded once to {self._weights.dtype}, {rounding}{seed}",
            "tokenizer_source": self._tokenizer_source,
            "tokenizer_digest": self._tokenizer_digest,
            "config_digest": self._config_digest,
            "chat_template_digest": digest(template) if template else "",
            "method": asdict(self._args.setting),
            "config_from": self._args.config_from or "instruct",
            "extra_rows": self._args.extra_rows,
            "stop_token_ids": self._stops,
        }

    def _warn_of_rounding(self) -> None:
        if self.lam is not None:
            asked = self._weights.asked_lam()
            for line in doubts(self.effective_lam(), asked, self._weights.dtype):
                _log.warning("%s", line)
