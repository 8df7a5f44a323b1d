"""`--model partially_adapted_vllm`: lm-eval's vLLM model with θ_λ for weights.

The engine starts once; λ changes in place. The answers are those of `partially_adapted`, up to the
arithmetic of vLLM's own kernels.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import shutil
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval.api.registry import register_model

from pa_harness.checkpoints.vocabulary import neutral_generation_config, read_tokenizer, stop_ids
from pa_harness.errors import PAHarnessError, missing_extra
from pa_harness.lam.path import short_form
from pa_harness.models.adapted import AdaptedModel
from pa_harness.models.generated import AnswerLengths, Length, Thinking, measured
from pa_harness.models.requests import check_answer
from pa_harness.models.vllm.arguments import PLACEMENT, parse_for_engine, room_to_score
from pa_harness.models.vllm.weights import EngineWeights
from pa_harness.models.vllm.worker import EXTENSION

try:
    from lm_eval.models.vllm_causallms import VLLM
    from vllm import EngineArgs, SamplingParams
except ImportError as error:
    raise missing_extra("vllm", "--model partially_adapted_vllm", error) from None

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.lam.schedule import Lam

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply


@register_model("partially_adapted_vllm")
class PartiallyAdaptedVLLM(AdaptedModel, VLLM):
    """θ_λ = θ_base + λ (θ_instruct − θ_base) in a vLLM engine.

    (İrsoy et al. 2025, arXiv 2504.11626.)

    Attributes:
        tokens_asked: prompt tokens of the last log-likelihoods.
        tokens_cached: those of them that came from the engine's prefix cache.
    """

    NAME = "partially_adapted_vllm"
    LIBRARIES = (*AdaptedModel.LIBRARIES, "vllm")
    _weights: EngineWeights
    _contexts: dict[tuple[int, ...], int]  # tokens of a request -> length of its context
    tokens_asked = tokens_cached = 0
    _quiet = False
    answer_lengths = AnswerLengths()  # of the last `generate_until`
    _thinking: Thinking | None = None
    _room = 0  # tokens that the engine takes beyond the `max_length` asked for

    def __init__(self, /, **model_args: Any) -> None:
        """Open and check the pair, start the engine, stream θ_λ into it.

        Args:
            model_args: those of `partially_adapted` that are ours; everything else is that of
                lm-eval's vLLM model and of the engine.

        Raises:
            ModelArgsError: an argument is missing, unknown or malformed.
            CheckpointError: a checkpoint cannot be found, read or trusted.
            PairError: the two do not belong together.
            AdapterError: the adapter is not linear in λ.
        """
        engine = (field.name for field in fields(EngineArgs))
        args, rest = parse_for_engine(model_args, VLLM.__init__, engine)
        self._given = {k: v for k, v in short_form(model_args).items() if k not in PLACEMENT}
        self._contexts = {}
        self._open(args, rest, EngineWeights)
        self._weights.examine_all()
        tokenizer = self._tokenizer_checkpoint(rest.pop("tokenizer", None))
        text = self._pair.config.get_text_config()
        self._room = room_to_score(rest, getattr(text, "max_position_embeddings", None))
        dtype = str(self._weights.dtype).removeprefix("torch.")
        with tempfile.TemporaryDirectory() as folder:
            self._write_architecture(Path(folder), tokenizer)
            ours = {
                "pretrained": folder,
                "tokenizer": str(tokenizer.folder),
                "dtype": dtype,
                "load_format": "dummy",  # the weights come by `_change`
                "worker_extension_cls": EXTENSION,
            }
            self._start(rest | ours)
        self._thinking = Thinking.of(self.think_end_token, self.tokenizer)
        if self._room:
            self._max_length -= self._room  # what generation may fill, as with `hf`
        self.model.collective_rpc("pa_open", args=(asdict(args), dtype, self._trust))
        self._change(args.lam)
        self._describe(text.vocab_size)

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> PartiallyAdaptedVLLM:
        """As lm-eval's command calls it; its --batch_size and --device say nothing to an engine.

        vLLM forms its own batches; lm-eval's default of 1 would undo that.
        """
        more = dict(additional_config or {})
        return super().create_from_arg_obj(
            {"batch_size": "auto", **arg_dict},
            {k: v for k, v in more.items() if k not in ("batch_size", "max_batch_size", "device")},
        )

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """lm-eval's; the bars of the engine are as quiet as its own."""
        with self._to_score(disable_tqdm):
            return super().loglikelihood(requests, disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """lm-eval's, in the windows of HFLM."""
        with self._to_score(disable_tqdm):
            return super().loglikelihood_rolling(requests, disable_tqdm)

    @contextlib.contextmanager
    def _to_score(self, quiet: bool) -> Iterator[None]:
        """While prompts are scored, the engine's own length."""
        self._quiet = quiet
        if not self._room:
            yield
            return
        self._max_length += self._room
        try:
            yield
        finally:
            self._max_length -= self._room

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """lm-eval's; the bars of the engine are as quiet as its own."""
        self._quiet = disable_tqdm
        self.answer_lengths = AnswerLengths(self._thinking)
        with self.answer_lengths.noting(self):
            return super().generate_until(requests, disable_tqdm)

    @staticmethod
    def modify_gen_kwargs(
        gen_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> tuple[dict[str, Any], list[str], int]:
        """lm-eval's; greedy unless asked otherwise, as HFLM is (the engine would sample)."""
        given, until, most = VLLM.modify_gen_kwargs(gen_kwargs, *args, **kwargs)
        return {"temperature": 0.0, **given}, until, most

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """lm-eval's, with the context's length of every request at hand for the engine's cache."""
        most = self.max_length - 1  # lm-eval's own truncation
        self.tokens_asked = self.tokens_cached = 0
        for texts, context, rest in requests:
            check_answer(texts, rest, most)
            tokens = tuple((context + rest)[-most:])
            length = len(tokens) - len(rest)
            self._contexts[tokens] = min(length, self._contexts.get(tokens, length))
        try:
            answers: list[tuple[float, bool]] = super()._loglikelihood_tokens(
                requests, disable_tqdm, **kwargs
            )
        finally:
            self._contexts = {}
        return answers

    def _model_generate(
        self,
        requests: list[list[int]],
        generate: bool = False,
        sampling_params: Any = None,
    ) -> Any:
        if generate:
            outputs = self._ask(requests, sampling_params)
            for output in outputs:  # the texts HFLM would give for these tokens
                best = output.outputs[0]
                best.text = self.tokenizer.decode(best.token_ids, skip_special_tokens=True)
            self.answer_lengths.expect(self._length(output.outputs[0]) for output in outputs)
            return outputs
        sharing = self._args.prefix_sharing and bool(self._contexts)
        outputs = self._ask(requests, _scoring(reads_cache=sharing))
        if sharing:
            again = [n for n, tokens in enumerate(requests) if not self._align(outputs[n], tokens)]
            whole = self._ask([requests[n] for n in again], _scoring(reads_cache=False))
            for n, output in zip(again, whole, strict=True):
                outputs[n] = output
        return outputs

    def _length(self, answer: Any) -> Length:
        """Of the tokens that the engine gives, and why it stopped."""
        ends = frozenset(self._facts["stop_token_ids"])
        decode = self.tokenizer.decode
        found = measured(answer.token_ids, ends, (), decode, self._thinking)
        return found._replace(ended=found.ended or answer.finish_reason == "stop")

    def _ask(self, requests: Sequence[list[int]], sampling_params: Any) -> list[Any]:
        from vllm import TokensPrompt

        if not requests:
            return []
        return list(
            self.model.generate(
                [TokensPrompt(prompt_token_ids=tokens) for tokens in requests],
                sampling_params=sampling_params,
                use_tqdm=not self._quiet,
            )
        )

    def _align(self, output: Any, tokens: list[int]) -> bool:
        """Put the log-probabilities in their places, where the beginning came from the cache.

        vLLM gives none for cached tokens: its CPU runner leaves their rows as they were in memory,
        its newer GPU runner leaves them out. The rows at the end are right in both.

        Returns:
            False if a scored token's row is among the missing ones.
        """
        cached = output.num_cached_tokens or 0
        self.tokens_asked += len(tokens)
        if cached >= self._contexts[tuple(tokens)]:
            return False
        self.tokens_cached += cached
        known = len(tokens) - cached - 1  # the first token after the cached ones has no row
        rows = list(output.prompt_logprobs)[1:]
        output.prompt_logprobs = [None] * (cached + 1) + rows[len(rows) - known :]
        return True

    def _change(self, lam: Lam) -> None:
        self._notes += self._weights.send(lam, self._to_workers)

    def _to_workers(self, lams: Mapping[str, float]) -> list[dict[str, list[str]]]:
        reports = self.model.collective_rpc("pa_set_lam", args=(dict(lams),))
        if not self.model.reset_prefix_cache():  # it holds keys and values of the old weights
            raise PAHarnessError(
                "vLLM did not empty its prefix cache, so answers would mix two λ. Wait until no "
                "request is running, then set λ again."
            )
        return list(reports)

    def _start(self, arguments: dict[str, Any]) -> None:
        """Start the engine.

        Raises:
            PAHarnessError: vLLM does not take the model or the arguments.
        """
        try:
            VLLM.__init__(self, **arguments)
        except ValueError as error:  # its own checks, pydantic's among them
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise PAHarnessError(
                f"vLLM cannot start with this {self._pair.model.cls.__name__}: "
                f"{' '.join(lines[:2]):.600}\nChange what it names, or use --model "
                "partially_adapted."
            ) from error

    def _write_architecture(self, folder: Path, tokenizer: Checkpoint) -> None:
        """What the engine reads beside the weights: configuration, code, tokenizer, stops."""
        pair = self._pair
        for code in pair.base.folder.glob("*.py"):
            shutil.copy(code, folder)
        for file in tokenizer.folder.iterdir():
            if file.is_file() and file.suffix in (".json", ".model", ".txt", ".jinja"):
                shutil.copy(file, folder)
        config = copy.deepcopy(pair.config)
        config.architectures = [pair.model.cls.__name__]  # the text part of a wrapper names none
        config.save_pretrained(folder)
        read = read_tokenizer(tokenizer, trust_remote_code=self._trust)
        stops = stop_ids(pair.knots, read)
        neutral_generation_config(stops, read, pair.config).save_pretrained(folder)

    def _count_parameters(self) -> int:
        return sum(math.prod(each.get_shape()) for each in self._pair.base_slices.values())

    def _own_info(self) -> dict[str, Any]:
        counts = {"asked": self.tokens_asked, "from_cache": self.tokens_cached}
        return {"prefix_sharing": {"loglikelihood": counts}} if self.tokens_asked else {}


def _scoring(*, reads_cache: bool) -> Any:
    """Log-probabilities of the prompt's tokens, as lm-eval asks for them."""
    return SamplingParams(
        temperature=0,
        prompt_logprobs=1,
        max_tokens=1,
        detokenize=False,
        skip_reading_prefix_cache=not reads_cache,
    )
