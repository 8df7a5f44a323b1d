"""`--model partially_adapted`: lm-eval's HFLM with θ_λ for weights. λ is a model argument."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from lm_eval.utils import simple_parse_args_string

from pa_harness import __version__
from pa_harness.adapter import adapter_fingerprint
from pa_harness.architecture import concrete_class
from pa_harness.arguments import parse, torch_dtype
from pa_harness.errors import ModelArgsError
from pa_harness.hub import open_checkpoint
from pa_harness.interpolation import EffectiveLam, check_lam
from pa_harness.loading import AdaptedWeights, attach_adapter
from pa_harness.pair import open_pair
from pa_harness.provenance import digest, measured, separate_cache, side
from pa_harness.vocabulary import (
    neutral_generation_config,
    read_tokenizer,
    stop_ids,
    tokenizer_checkpoint,
    tokenizer_digest,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply
_FAR = 0.5  # ‖θ_i − θ_b‖ / ‖θ_b‖ from which a pair looks unrelated
_TOLERATED = 0.02  # |λ_eff − λ| up to which nothing is said


@register_model("partially_adapted")
class PartiallyAdaptedLM(HFLM):
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
        self._args, rest = parse(model_args, HFLM.__init__)
        self._hook: Any = None
        self._trust = bool(rest.get("trust_remote_code"))
        self._pair = open_pair(self._args, trust_remote_code=self._trust)
        self._weights = self._adapted_weights(rest.get("dtype"))
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

    # ------------------------------------------------------------------ what HFLM asks for

    def _get_config(self, *_args: Any, **_kwargs: Any) -> None:
        self._config = self._pair.config

    def _create_tokenizer(self, pretrained: Any, tokenizer: Any, **kwargs: Any) -> None:
        if tokenizer is None or isinstance(tokenizer, str):
            source = (
                open_checkpoint(tokenizer, "tokenizer")
                if tokenizer
                else tokenizer_checkpoint(self._pair.instruct, self._pair.base)
            )
            read_tokenizer(source, trust_remote_code=self._trust)  # for its clear error
            self._tokenizer_source = source.name
            tokenizer = str(source.folder)
            kwargs |= {"revision": None, "subfolder": ""}  # a resolved folder has neither
        else:
            self._tokenizer_source = str(tokenizer.name_or_path)
        super()._create_tokenizer(pretrained, tokenizer, **kwargs)

    def _create_model(self, pretrained: str, **kwargs: Any) -> None:
        auto_class = getattr(self, "AUTO_MODEL_CLASS")  # noqa: B009 -- HFLM gives it no type
        self.AUTO_MODEL_CLASS = _Loader(self, auto_class)
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

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Give every pair and λ a table of its own in a --use_cache file."""
        self._hook = cache_hook
        separate_cache(cache_hook, self.identity)
        super().set_cache_hook(cache_hook)

    def get_model_info(self) -> dict[str, Any]:
        """What was run, for the results file.

        Returns:
            `lam`; `lam_eff`, `rounding_noise` and `relative_delta` (fractions, absent where
            undefined; per tensor too under ``lam_eff=tensors``); both sides with name, revision and
            commit or content fingerprint; arithmetic, tokenizer, template, stop ids; versions;
            `notes` (what was warned of); `identity`.
        """
        info: dict[str, Any] = {
            "model_num_parameters": self.model.num_parameters(),
            "model_dtype": str(self._weights.dtype),
            "model_revision": self._args.revision or "",
            "model_sha": self._sides["base"]["sha"],
            "lam": self.lam,
            **measured(self.effective_lam()),
            **self._sides,
            **self._fixed_info(),
            "identity": self.identity,
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

    # ------------------------------------------------------------------ ours

    @property
    def lam(self) -> float | None:
        """The λ of the weights in place; None after an interrupted `set_lam`."""
        return self._weights.lam

    @property
    def identity(self) -> str:
        """A digest of everything that can change an answer: pair, λ, arithmetic, tokens."""
        return digest(
            {
                "lam": self.lam,
                **self._sides,
                **self._fixed_info(),
                "max_length": self.max_length,
                "add_bos_token": self.add_bos_token,
                "truncation": self.truncation,
            }
        )

    def set_lam(self, lam: float) -> None:
        """Change λ in place, from the originals; neither model nor tokenizer is loaded again.

        Args:
            lam: any finite number.

        Raises:
            ModelArgsError: not a finite number.
            PAHarnessError: weights are off-loaded to disk.
        """
        self._weights.set_lam_(self.model, check_lam(lam))
        separate_cache(self._hook, self.identity)
        self._warn_of_rounding()

    def effective_lam(self) -> EffectiveLam:
        """λ_eff, rounding noise and relative delta of the whole model."""
        return self._weights.effective_lam()

    def effective_lam_per_tensor(self) -> dict[str, EffectiveLam]:
        """The same per checkpoint tensor."""
        return self._weights.effective_lam_per_tensor()

    def _adapted_weights(self, dtype_argument: object) -> AdaptedWeights:
        args, pair = self._args, self._pair
        dtype = torch_dtype(dtype_argument) or pair.dtype
        if args.rounding == "stochastic" and dtype is not torch.bfloat16:
            raise ModelArgsError(
                f"rounding=stochastic is defined for bfloat16 weights; this pair's are {dtype}. "
                "Pass dtype=bfloat16, or leave rounding out."
            )
        return AdaptedWeights(
            pair,
            dtype,
            seed=args.rounding_seed if args.rounding == "stochastic" else None,
            every_element=args.lam_eff == "tensors",
            check_finite=args.check_finite,
        )

    def _finish(self) -> None:
        """What is decided once the tokenizer is complete and the weights are in place."""
        args, pair, sums = self._args, self._pair, self._weights.checksums
        self._stops = stop_ids(pair.base, pair.instruct, self.tokenizer)
        self.model.generation_config = neutral_generation_config(
            self._stops, self.tokenizer, pair.config
        )
        self.model.name_or_path = args.pretrained
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
        self._warn_of_distance()
        self._warn_of_rounding()

    def _fixed_info(self) -> dict[str, Any]:
        """The part of `get_model_info` that is the same at every λ."""
        template, rounding = self.tokenizer.chat_template, self._args.rounding
        seed = f" with seed {self._args.rounding_seed}" if rounding == "stochastic" else ""
        return {
            "arithmetic": f"fp32 lerp, rounded once to {self._weights.dtype}, {rounding}{seed}",
            "tokenizer_source": self._tokenizer_source,
            "tokenizer_digest": tokenizer_digest(self.tokenizer),
            "chat_template_digest": digest(template) if template else "",
            "config_from": self._args.config_from or "instruct",
            "extra_rows": self._args.extra_rows,
            "stop_token_ids": self._stops,
        }

    def _warn_of_distance(self) -> None:
        distance = self.effective_lam().relative_delta
        if distance > _FAR:
            _log.warning(
                "base and instruct differ by %.0f%% of the base's weights: instruct may not be a "
                "fine-tune of this base, and weights between them may be good for nothing.",
                100 * distance,
            )

    def _warn_of_rounding(self) -> None:
        effective, lam = self.effective_lam(), self.lam
        if lam is not None and abs(effective.lam_eff - lam) > _TOLERATED:
            _log.warning(
                "Rounding to %s moved λ from %g to λ_eff = %.3f (noise %.0f%% of the difference, "
                "which is %.2f%% of the weights). dtype=float32 holds λ exactly; "
                "rounding=stochastic holds it on average.",
                self._weights.dtype,
                lam,
                effective.lam_eff,
                100 * effective.rounding_noise,
                100 * effective.relative_delta,
            )


class _Loader:
    """Stands where HFLM expects an Auto class; HFLM's own placement arguments arrive untouched."""

    _DECIDED = (  # by the pair and its model arguments, not by HFLM
        *("revision", "dtype", "torch_dtype", "trust_remote_code"),
        *("gguf_file", "quantization_config", "subfolder"),
    )

    def __init__(self, lm: PartiallyAdaptedLM, auto_class: Any) -> None:
        self._lm, self._auto_class = lm, auto_class

    def from_pretrained(self, _name: str, **kwargs: Any) -> PreTrainedModel:
        rest = {name: value for name, value in kwargs.items() if name not in self._DECIDED}
        return self._lm.load_weights(self._auto_class, **rest)
