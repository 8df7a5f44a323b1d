"""What every lm-eval model of θ_λ has in common, whatever computes the answers."""

from __future__ import annotations

import logging
import math
from dataclasses import fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import LM
from lm_eval.utils import simple_parse_args_string

from pa_harness import __version__
from pa_harness.checkpoints.pair import is_adapter
from pa_harness.checkpoints.vocabulary import (
    check_vocabulary,
    ids_without_rows,
    read_tokenizer,
    tokenizer_digest,
)
from pa_harness.errors import CheckpointError, PAHarnessError
from pa_harness.lam.path import place
from pa_harness.lam.reading import read_lam
from pa_harness.lam.schedule import Schedule
from pa_harness.weights.arguments import ModelArgs
from pa_harness.weights.identity import Known, digest, facts_from_files, fixed_facts, sides
from pa_harness.weights.opening import adapted_weights, open_weights, tokenizer_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.checkpoints.pair import Pair
    from pa_harness.lam.schedule import Lam
    from pa_harness.weights.adapted import AdaptedWeights

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply
_OF_FILES = {each.name for each in fields(ModelArgs)} | {"dtype", "tokenizer", "trust_remote_code"}


class AdaptedModel(LM):
    """λ, identity, metadata and answer cache of a model. A subclass has it do the answering.

    Attributes:
        NAME: lm-eval's name of the model.
        LIBRARIES: whose versions the results hold.
    """

    NAME = ""
    LIBRARIES: tuple[str, ...] = ("lm_eval", "transformers", "torch", "peft")
    tokenizer: Any
    _args: ModelArgs
    _given: dict[str, Any]  # model arguments that can change an answer
    _pair: Pair
    _weights: AdaptedWeights
    _notes: list[str]  # what was warned of
    _trust: bool
    _hook: Any = None

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> Self:
        """What lm-eval's command calls; --model_args come before its own --batch_size, --device."""
        options = {name: v for name, v in (additional_config or {}).items() if v is not None}
        return cls(**options | arg_dict)

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> Self:
        """The same for arguments in one ``key=value,...`` string."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    @classmethod
    def describe_files(
        cls, model_args: Mapping[str, Any], stamps: Mapping[str, Any], info: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What a model with these arguments would say of itself that is the same at every λ.

        From the files, without a model. Weights are not read where nobody has written to their
        files since the model that said `info` was loaded.

        Args:
            model_args: as for the model; λ does not matter.
            stamps: that model's `file_stamps`.
            info: its `get_model_info`.
        """
        ends = {name: info[name] for name in stamps if name in info}
        contents = {name: end["content"] for name, end in ends.items() if "content" in end}
        ours = {name: value for name, value in model_args.items() if name in _OF_FILES}
        opened = open_weights({**ours, "lam": 0.0})
        return facts_from_files(opened, Known(stamps, contents))

    def file_stamps(self) -> dict[str, Any]:
        """By side, what the system said of its files of weights when they were opened."""
        return {end.role: end.stamps for end in self._pair.knots}

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Give every pair and λ a table of its own in a --use_cache file."""
        self._hook = cache_hook
        _separate_cache(cache_hook, self.identity)
        super().set_cache_hook(cache_hook)

    def set_lam(self, lam: Lam | dict[str, Any] | str) -> None:
        """Change λ in place, from the originals; neither model nor tokenizer is loaded again.

        Args:
            lam: any finite number, or a schedule in any form that the model argument has.

        Raises:
            ModelArgsError: not a finite number or schedule.
            CheckpointError: a checkpoint was written to since it was opened.
            PAHarnessError: weights are off-loaded to disk, λ takes some out of the dtype's range,
                or an engine did not take them.
        """
        self._check_files()
        try:
            self._change(read_lam(lam))
            self._check_files()
        finally:  # an interrupted change has a table of its own, which nothing is written to
            _separate_cache(self._hook, self.identity)
        self._warn_of_rounding()

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """lm-eval's, of weights that have a λ."""
        self._check_whole()
        return list(super().loglikelihood(requests, disable_tqdm))

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """lm-eval's, of weights that have a λ."""
        self._check_whole()
        return list(super().loglikelihood_rolling(requests, disable_tqdm))

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """lm-eval's, of weights that have a λ."""
        self._check_whole()
        return list(super().generate_until(requests, disable_tqdm))

    def _check_whole(self) -> None:
        if self.lam is None:
            raise PAHarnessError(
                "The last change of λ did not finish, so the weights have no λ. Call set_lam again."
            )

    def get_model_info(self) -> dict[str, Any]:
        """What was run, for the results file.

        Returns:
            `lam` (None under a schedule, which is then in `model_args`); `lam_eff`,
            `rounding_noise` and `relative_delta` (fractions, absent where undefined; per tensor too
            under ``lam_eff=tensors``); both sides with name, revision and commit or content
            fingerprint; `weights`, a fingerprint of θ_λ; what `fixed_facts` says;
            versions; `notes` (what was warned of); `identity`.
        """
        info: dict[str, Any] = {
            "model": self.NAME,  # lm-eval names an object after its configuration
            "model_args": {**self._given, "lam": self._plain_lam()},
            "model_num_parameters": self._count_parameters(),
            "model_dtype": str(self._weights.dtype),
            "model_revision": self._args.revision or "",
            "model_sha": self._sides["base"]["sha"],
            "lam": None if isinstance(self.lam, Schedule) else self.lam,
            "weights": self._weights.fingerprint(),
            **self._weights.effective_lam().as_dict(),
            **self._sides,
            **self._facts,
            "identity": self.identity,
            **self._own_info(),
            "notes": list(self._notes),
            "versions": {
                "pa_harness": __version__,
                **{name: version(name) for name in self.LIBRARIES},
            },
        }
        if self._args.lam_eff == "tensors":
            each = self._weights.effective_lam_per_tensor()
            info["lam_eff_tensors"] = {key: value.as_dict() for key, value in each.items()}
        return info

    @property
    def lam(self) -> Lam | None:
        """λ or schedule of the weights in place; None after an interrupted `set_lam`."""
        return self._weights.lam

    @property
    def identity(self) -> str:
        """A digest of what can change an answer: pair, λ, arithmetic, configuration, arguments."""
        arguments = {name: value for name, value in self._given.items() if name != "lam"}
        return digest([self._plain_lam(), arguments, self._sides, self._facts, self.max_length])

    def _plain_lam(self) -> float | dict[str, Any] | None:
        return self.lam.as_dict() if isinstance(self.lam, Schedule) else self.lam

    def _open(self, args: ModelArgs, rest: Mapping[str, Any], kind: type[AdaptedWeights]) -> None:
        """The pair and its θ_λ, unread.

        Args:
            args: the arguments that are ours.
            rest: lm-eval's.
            kind: the class that brings θ_λ into the model.
        """
        self._args, self._trust = args, bool(rest.get("trust_remote_code"))
        dtype = rest.get("dtype")
        self._weights = adapted_weights(args, dtype, kind, trust_remote_code=self._trust)
        self._pair = self._weights.pair
        self._notes = list(self._pair.notes)

    def _check_files(self) -> None:
        """Have no λ where the originals are no longer what they were."""
        try:
            self._weights.findings.check_unchanged()
        except CheckpointError:
            self._weights.lam = None
            raise

    def _change(self, lam: Lam) -> None:
        """Bring θ_λ into the model."""
        raise NotImplementedError

    def _count_parameters(self) -> int:
        raise NotImplementedError

    def _own_info(self) -> dict[str, Any]:
        """What this kind of model adds: its own arithmetic, what the last evaluation took."""
        return {}

    def _tokenizer_checkpoint(self, tokenizer: str | None) -> Checkpoint:
        """Where the tokenizer of every λ is, after its checks; the last one's by default."""
        pair = self._pair
        source = tokenizer_source(tokenizer, pair)
        read = read_tokenizer(source, trust_remote_code=self._trust)
        if tokenizer or is_adapter(source):
            renamed = self._args.renamed_tokens
            self._notes += check_vocabulary(
                pair.base, source, trust_remote_code=self._trust, renamed=renamed
            )
        self._facts = fixed_facts(self._args, self._weights, read, source.name)
        return source

    def _describe(self, rows: int) -> None:
        """What is decided once the tokenizer is complete and the weights are in place.

        Args:
            rows: of the embedding.
        """
        self._tokenizer_digest = tokenizer_digest(self.tokenizer)  # of it as it is used
        self._notes += ids_without_rows(self.tokenizer, rows)
        self._sides = sides(self._pair, self._weights.findings.contents())
        self._weights.findings.check_unchanged()
        for note in self._notes:
            _log.warning("%s", note)
        self._warn_of_rounding()

    def _warn_of_rounding(self) -> None:
        if self.lam is not None:
            asked, knots = self._weights.asked_lam(), self._pair.knots
            leg = 0 if math.isnan(asked) else place(asked, len(knots) - 1)[0]
            ends = knots[leg].name, knots[leg + 1].name
            for line in self._weights.effective_lam().doubts(asked, self._weights.dtype, ends):
                _log.warning("%s", line)


def _separate_cache(hook: Any, identity: str) -> None:
    """Point a --use_cache file at the table of one model identity.

    lm-eval's cache key holds no model: one file across a sweep would answer λ = 1 with the
    log-likelihoods of λ = 0.

    Args:
        hook: lm-eval's cache hook, or None where there is no cache.
        identity: of the model that will answer.

    Raises:
        PAHarnessError: this lm-eval keeps its answers in another way than a SqliteDict.
    """
    answers = getattr(hook, "dbdict", None)
    if answers is None:
        return
    if not hasattr(answers, "tablename") or not hasattr(answers, "conn"):
        raise PAHarnessError(
            "This lm-eval keeps its --use_cache answers in a way that cannot be separated by λ; "
            "answers of one λ would be given for another. Leave out --use_cache."
        )
    answers.tablename = f"pa_{identity}"
    answers.conn.execute(
        f'CREATE TABLE IF NOT EXISTS "{answers.tablename}" (key TEXT PRIMARY KEY, value BLOB)'
    )
    answers.conn.commit()
