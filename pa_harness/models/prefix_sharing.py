"""HFLM with shared prefixes: same requests, same answers, every distinct token computed once."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict, dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.models.utils import (
    handle_stop_sequences,
    normalize_gen_kwargs,
    postprocess_generated_text,
)
from tqdm import tqdm

from pa_harness.models.generated import AnswerLengths, LengthsLM, end_ids, measured
from pa_harness.prefixes.compatibility import disagreement, longest_possible, obstacle
from pa_harness.prefixes.generation import PrefixGenerator
from pa_harness.prefixes.scoring import Counts, PrefixScorer, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply
_Encoded = tuple[Any, list[int], list[int]]  # (context, continuation) or None, and their tokens
_CPU_ROWS, _DEVICE_ROWS = 64, 128  # prompts that decode together
_HARMLESS = {  # settings of a generation configuration that greedy decoding does not heed
    *("_from_model_config", "transformers_version", "bos_token_id", "eos_token_id"),
    *("pad_token_id", "do_sample", "temperature", "top_k", "top_p", "max_length", "use_cache"),
}


@dataclass(frozen=True)
class _Greedy:
    """A request for a greedy continuation: its prompt's tokens, stop sequences, most tokens."""

    prompt: list[int]
    until: tuple[str, ...]
    limit: int


class PrefixSharingLM(LengthsLM):
    """HFLM whose log-likelihoods and greedy texts share prefixes wherever the model allows it.

    Attributes:
        prefix_sharing: whether to; False is HFLM itself.
    """

    prefix_sharing: bool = True
    _scorer: PrefixScorer | None = None
    _counts: Mapping[str, Counts] = MappingProxyType({})  # of the last evaluation, by its kind
    _reported: bool = False  # whether that evaluation is over: its counts were asked for
    _reason: str | None = None  # why not; empty if nothing is against it, None before asking
    _kept: tuple[list[Any], list[Request]] | None = None  # texts and tokens of the last evaluation

    def loglikelihood(
        self, requests: list[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """HFLM's; texts that were the last ones too (another λ) are not tokenised again."""
        self._count_anew("loglikelihood")
        texts = [request.args for request in requests]
        if self._kept is None or self._kept[0] != texts:
            self._kept = None
            answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm)
            return answers
        self._check_whole()
        return self._score(texts, self._kept[1], disable_tqdm)

    def _loglikelihood_tokens(
        self,
        requests: list[_Encoded],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        """HFLM's, with rolling windows (which have a batch size of their own) left to it."""
        self._count_anew("loglikelihood")
        self._check_whole()
        if override_bs is not None or not self._shares(requests):
            answers: list[tuple[float, bool]] = super()._loglikelihood_tokens(
                requests, disable_tqdm=disable_tqdm, override_bs=override_bs
            )
            return answers
        length = self.max_length
        cut = [Request.cut(context, rest, length) for _, context, rest in requests]
        self._warn_of_cuts(requests)
        texts = [text for text, _, _ in requests]
        self._kept = texts, cut
        return self._score(texts, cut, disable_tqdm)

    def _check_whole(self) -> None:
        """Refuse to score with weights that are not what they should be."""

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """HFLM's, with plain greedy requests sharing prompts and all others left to it."""
        self._count_anew("generate_until")
        self._check_whole()
        self.answer_lengths = AnswerLengths()
        plain = {n: self._greedy(request.args) for n, request in enumerate(requests)}
        shared = {n: greedy for n, greedy in plain.items() if greedy}
        longest = max((len(g.prompt) + g.limit for g in shared.values()), default=0)
        if not shared or not self._allows(longest):
            texts: list[str] = super().generate_until(requests, disable_tqdm=disable_tqdm)
            return texts
        found = self._generate(shared, [request.args for request in requests], disable_tqdm)
        others = [n for n, greedy in plain.items() if not greedy]
        if others:
            rest = [requests[n] for n in others]
            found |= zip(others, super().generate_until(rest, disable_tqdm), strict=True)
        return [found[n] for n in range(len(requests))]

    def sharing_info(self) -> dict[str, Any]:
        """What sharing saved in the last evaluation, for the results file.

        An evaluation is over when this is asked; requests of a kind that was already answered
        begin another one, too.

        Returns:
            Under `prefix_sharing`, for log-likelihoods and for generation, the prompt tokens:
            `computed`, `distinct` (the least possible), `stock` (what HFLM would compute, without
            its padding); `decoded`, and `passes`; `peak_memory_bytes` of the accelerator or else
            of the process; or `why_not`.
        """
        self._reported = True
        if self._reason:
            return {"prefix_sharing": {"why_not": self._reason}}
        if not self._counts:
            return {}
        counts = {kind: asdict(counts) for kind, counts in self._counts.items()}
        return {"prefix_sharing": {**counts, "peak_memory_bytes": _peak_memory()}}

    def _score(
        self, texts: list[Any], cut: list[Request], disable_tqdm: bool
    ) -> list[tuple[float, bool]]:
        answers: list[Any] = [None] * len(texts)
        scorer, bar = self._counting("loglikelihood", len(texts), disable_tqdm)
        with self._autocast(), bar:
            for index, answer in scorer.score(cut):
                answers[index] = answer
                bar.set_postfix_str(_tokens(scorer.counts), refresh=False)
                if texts[index] is not None:
                    self.cache_hook.add_partial("loglikelihood", texts[index], answer)
                bar.update()
        self._say(scorer.counts)
        return answers

    def _generate(
        self, shared: dict[int, _Greedy], given: list[Any], disable_tqdm: bool
    ) -> dict[int, str]:
        found: dict[int, str] = {}
        scorer, bar = self._counting("generate_until", len(shared), disable_tqdm)
        ends = end_ids(self.model)
        rows = _CPU_ROWS if self.device.type == "cpu" else _DEVICE_ROWS
        generator = PrefixGenerator(scorer, ends, rows)
        with self._autocast(), bar:
            for until, limit in sorted({(g.until, g.limit) for g in shared.values()}):
                same = [n for n, g in shared.items() if (g.until, g.limit) == (until, limit)]
                prompts = [shared[n].prompt for n in same]
                done = partial(self._is_done, self._lookback(until))
                for index, tokens in generator.continuations(prompts, limit, done):
                    text = postprocess_generated_text(self.tok_decode(tokens), list(until), None)
                    found[same[index]] = text
                    length = measured(tokens, ends, until, self.tokenizer.decode)
                    self.answer_lengths.add(given[same[index]][0], length)
                    bar.set_postfix_str(_tokens(scorer.counts), refresh=False)
                    self.cache_hook.add_partial("generate_until", given[same[index]], text)
                    bar.update()
        self._say(scorer.counts)
        return found

    def _greedy(self, arguments: tuple[Any, Any]) -> _Greedy | None:
        """The request as tokens; None if it is more than greedy decoding up to a stop sequence."""
        context, given = arguments
        unusual = self.backend != "causal" or self.think_end_token is not None
        if unusual or not isinstance(given, dict) or not self.prefix_sharing:
            return None
        settings: dict[str, Any] = dict(normalize_gen_kwargs(given, self.max_gen_toks))
        eos = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        until = handle_stop_sequences(settings.pop("until", None), eos=eos)
        limit = int(settings.pop("max_gen_toks"))
        sampled = [settings.pop("do_sample", None), settings.pop("temperature", None)]
        defaults = self.model.generation_config.to_diff_dict().items()
        heeded = {name for name, value in defaults if value} - _HARMLESS
        if settings or any(sampled) or heeded or not 0 < limit < self.max_length:
            return None
        ids, _ = self.tok_batch_encode(
            [context], left_truncate_len=self.max_length - limit, truncation=self.truncation
        )
        prompt: list[int] = ids[0].tolist()
        return _Greedy(prompt, tuple(until), limit) if prompt else None

    def _lookback(self, until: tuple[str, ...]) -> list[tuple[str, int]]:
        """Every stop sequence with the number of last tokens that HFLM looks for it in."""
        encode = self.tokenizer.encode
        return [(stop, len(encode(stop, add_special_tokens=False)) + 2) for stop in until]

    def _is_done(self, stops: list[tuple[str, int]], tokens: list[int]) -> bool:
        return any(stop in self.tokenizer.decode(tokens[-last:]) for stop, last in stops)

    def _count_anew(self, kind: str) -> None:
        """Forget the counts of an evaluation that is over."""
        if self._reported or kind in self._counts:
            self._counts, self._reported = MappingProxyType({}), False

    def _counting(self, kind: str, total: int, quiet: bool) -> tuple[PrefixScorer, Any]:
        """The scorer with new counts, and a progress bar like HFLM's."""
        if self._scorer is None:
            dtype = self.softmax_dtype or torch.float32
            self._scorer = PrefixScorer(self.model, self.device, dtype)
        self._scorer.counts = Counts()
        self._counts = {**self._counts, kind: self._scorer.counts}
        disabled = quiet or self.rank != 0
        return self._scorer, tqdm(total=total, disable=disabled, desc=f"Running {kind} requests")

    def _say(self, counts: Counts) -> None:
        memory = (_peak_memory() or 0) / 1e9
        _log.info("Shared prefixes: %s; peak memory %.2f GB.", _tokens(counts), memory)

    def _shares(self, requests: list[_Encoded]) -> bool:
        """Whether these requests are to be shared, and may be."""
        length = self.max_length
        if not all(context and 0 < len(rest) <= length for _, context, rest in requests):
            return False  # HFLM knows what to say
        longest = max((len(context) + len(rest) - 1 for _, context, rest in requests), default=0)
        return bool(self.prefix_sharing and requests) and self._allows(min(longest, length))

    def _allows(self, longest: int) -> bool:
        """Whether the model can share prefixes of such a length; says once why it cannot."""
        if self._reason is None:
            with self._autocast():
                self._reason = self._placement() or obstacle(self.model) or ""
                self._reason = self._reason or disagreement(self.model, self.device) or ""
            if self._reason:
                _log.warning("Prefixes are not shared: %s.", self._reason)
        limit = longest_possible(self.model) if not self._reason else 0
        if not self._reason and longest > limit:
            _log.warning(
                "Prefixes are not shared: beyond %d tokens rotary frequencies grow.", limit
            )
        return not self._reason and longest <= limit

    def _placement(self) -> str | None:
        """What speaks against it in how HFLM holds the model."""
        if self.backend != "causal":
            return "it is not a decoder"
        kind = str(getattr(getattr(self, "accelerator", None), "distributed_type", ""))
        if "FSDP" in kind or "DEEPSPEED" in kind:
            return f"its weights are spread by {kind}"
        if (getattr(self.model, "tp_size", None) or 1) > 1:
            return "its weights are spread by tensor parallelism"
        return None

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            device_type=self.device.type,
            dtype=self.mixed_precision_dtype,
            enabled=self.mixed_precision_dtype is not None,
        )

    def _warn_of_cuts(self, requests: list[_Encoded]) -> None:
        length = self.max_length
        long = sum(len(context) + len(rest) > length + 1 for _, context, rest in requests)
        if long:
            _log.warning(
                "%d of %d requests are longer than the model's maximum length (%d) and were cut "
                "on the left.",
                *(long, len(requests), length),
            )


def _tokens(counts: Counts) -> str:
    """What was computed, for people."""
    times = counts.stock / max(counts.computed, 1)
    return (
        f"{counts.computed} tokens computed, {counts.distinct} distinct, {counts.stock} by hf "
        f"({times:.1f} times)"
    )


def _peak_memory() -> int | None:
    """Bytes, at the highest so far; of the accelerator, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if sys.platform == "win32":
        return None
    import resource  # Unix only

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
