"""HFLM with shared prefixes: same requests, same answers, every distinct token computed once."""

from __future__ import annotations

import logging
import sys
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.models.utils import postprocess_generated_text
from tqdm import tqdm

from pa_harness.models.generated import AnswerLengths, LengthsLM, end_ids, measured
from pa_harness.models.greedy import Greedy, Stops, greedy_request, is_plainly_greedy
from pa_harness.models.plans import Planner
from pa_harness.models.texts import Texts, shared_texts
from pa_harness.prefixes.compatibility import longest_possible
from pa_harness.prefixes.counts import Counts
from pa_harness.prefixes.decoding.generation import Asked
from pa_harness.prefixes.forms import TREE, Form
from pa_harness.prefixes.reading import Reader
from pa_harness.prefixes.trial import chosen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pa_harness.models.texts import Pair

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply


class PrefixSharingLM(LengthsLM):
    """HFLM whose log-likelihoods and greedy texts share prefixes wherever the model allows it.

    Attributes:
        prefix_sharing: whether to; False is HFLM itself.
    """

    prefix_sharing: bool = True
    _softmax_dtype: torch.dtype | None = None
    _tokenizer_digest: str = ""  # which models with the same one share their tokens
    _counts: Mapping[str, Counts] = MappingProxyType({})  # of the last evaluation, by its kind
    _before: int = 0  # tokens that went through the model, those that `reader` counts left out
    _form: Form = TREE  # in which passes go through the model
    _reported: bool = False  # whether that evaluation is over: its counts were asked for
    _reason: str | None = None  # why not; empty if nothing is against it, None before asking

    @property
    def softmax_dtype(self) -> torch.dtype:
        """Of the log-softmax, whichever way a request goes: fp32 unless an argument says other."""
        return self._softmax_dtype or torch.float32

    @softmax_dtype.setter
    def softmax_dtype(self, dtype: torch.dtype | None) -> None:
        self._softmax_dtype = dtype

    def loglikelihood(
        self, requests: list[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """HFLM's; every text is tokenised once, and passes that were planned serve every λ."""
        self._count_anew("loglikelihood")
        if not requests or self.enable_thinking or not self._allows():
            answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm)
            return answers
        texts = tuple(request.args for request in requests)
        found: dict[int, tuple[float, bool]] = {}
        reader, bar = self._counting("loglikelihood", len(texts), disable_tqdm)
        planned = self._planner.planned(texts)
        with self._autocast(), bar:
            for number, answer in self._form.score(reader, planned):
                found[number] = answer
                bar.set_postfix_str(_tokens(reader.counts), refresh=False)
                self.cache_hook.add_partial("loglikelihood", texts[number], answer)
                bar.update()
        self._say(reader.counts)
        found |= self._hf_way(texts, planned.others, disable_tqdm)
        return [found[number] for number in range(len(texts))]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """HFLM's own: rolling windows overlap in what they are conditioned on, not in prefixes."""
        self._count_anew("loglikelihood_rolling")
        found: list[float] = super().loglikelihood_rolling(requests, disable_tqdm)
        return found

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """HFLM's, with plain greedy requests sharing prompts and all others left to it."""
        self._count_anew("generate_until")
        self.answer_lengths = AnswerLengths(self.thinking)
        arguments = [request.args for request in requests]
        shared: dict[tuple[tuple[str, ...], int], dict[int, list[int]]] = {}
        if is_plainly_greedy(self) and self._allows():
            shared = self._prompts(arguments)
        places = {n for each in shared.values() for n in each}
        found = self._generate(shared, arguments, disable_tqdm) if places else {}
        others = [n for n in range(len(requests)) if n not in places]
        if others:
            rest = [requests[n] for n in others]
            found |= zip(others, super().generate_until(rest, disable_tqdm), strict=True)
        return [found[n] for n in range(len(requests))]

    @property
    def tokens_computed(self) -> int:
        """Tokens that went through the model since it was made; of hf's batches padding, too."""
        now = self.reader.counts.tokens if "reader" in self.__dict__ else 0
        return self._before + now

    def _model_call(self, inps: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """HFLM's."""
        logits: torch.Tensor = super()._model_call(inps, *args, **kwargs)
        self._before += inps.numel()
        return logits

    def _model_generate(self, context: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """HFLM's."""
        found: torch.Tensor = super()._model_generate(context, *args, **kwargs)
        self._before += found.numel() - len(found)  # the last token of each is only said
        return found

    def sharing_info(self) -> dict[str, Any]:
        """What sharing saved in the last evaluation, for the results file.

        An evaluation is over when this is asked; requests of a kind that was already answered
        begin another one, too.

        Returns:
            Under `prefix_sharing`, for log-likelihoods and for generation, what `Counts` has;
            `peak_memory_bytes` of the accelerator or else of the process; or `why_not`.
        """
        self._reported = True
        if self._reason and self.prefix_sharing:
            return {"prefix_sharing": {"why_not": self._reason}}
        if not self._counts:
            return {}
        counts = {kind: counts.as_dict() for kind, counts in self._counts.items()}
        return {"prefix_sharing": {**counts, "peak_memory_bytes": _peak_memory()}}

    def _hf_way(
        self, texts: Sequence[tuple[str, str]], others: dict[int, Pair], quiet: bool
    ) -> dict[int, tuple[float, bool]]:
        """Answers to the requests that cannot be shared while the others can."""
        if not others:
            return {}
        self._warn_of_length(len(others))
        encoded = [
            (texts[n], context.tolist(), list(rest)) for n, (context, rest) in others.items()
        ]
        answers = self._loglikelihood_tokens(encoded, disable_tqdm=quiet)
        return dict(zip(others, answers, strict=True))

    def _prompts(
        self, arguments: Sequence[tuple[Any, Any]]
    ) -> dict[tuple[tuple[str, ...], int], dict[int, list[int]]]:
        """Of plain greedy requests the prompts' tokens, by stop sequences and limit."""
        asked = {n: greedy_request(self, each) for n, each in enumerate(arguments)}
        plain: dict[int, Greedy] = {n: each for n, each in asked.items() if each}
        tokens = self.texts.prompts(self, [each.context for each in plain.values()])
        most = longest_possible(self.model)
        found: dict[tuple[tuple[str, ...], int], dict[int, list[int]]] = {}
        cut = long = 0
        for (n, each), ids in zip(plain.items(), tokens, strict=True):
            room = self.max_length - each.limit
            prompt = ids[-room:].tolist()
            if not prompt or len(prompt) + each.limit > most:
                long += bool(prompt)
                continue
            cut += len(ids) > room
            found.setdefault((each.until, each.limit), {})[n] = prompt
        if cut:
            _log.warning("%d prompts are too long for the model and were cut on the left.", cut)
        if long:
            self._warn_of_length(long)
        return found

    def _generate(
        self,
        shared: dict[tuple[tuple[str, ...], int], dict[int, list[int]]],
        given: list[Any],
        disable_tqdm: bool,
    ) -> dict[int, str]:
        found: dict[int, str] = {}
        total = sum(map(len, shared.values()))
        reader, bar = self._counting("generate_until", total, disable_tqdm)
        ends = end_ids(self.model)
        with self._autocast(), bar:
            for (until, limit), prompts in sorted(shared.items()):
                places = list(prompts)
                stops = Stops(self.tokenizer, until)
                asked = Asked(list(prompts.values()), limit, ends, stops.done)
                for index, tokens in self._form.continuations(reader, asked):
                    text = postprocess_generated_text(self.tok_decode(tokens), list(until), None)
                    found[places[index]] = text
                    length = measured(tokens, ends, until, self.tokenizer.decode)
                    self.answer_lengths.add(given[places[index]][0], length)
                    bar.set_postfix_str(_tokens(reader.counts), refresh=False)
                    self.cache_hook.add_partial("generate_until", given[places[index]], text)
                    bar.update()
        self._say(reader.counts)
        return found

    def _count_anew(self, kind: str) -> None:
        """Forget the counts of an evaluation that is over."""
        if self._reported or kind in self._counts:
            self._counts, self._reported = MappingProxyType({}), False

    @cached_property
    def reader(self) -> Reader:
        """What passes go through, with its limits; made when it is first asked for."""
        reader = Reader.of(self.model, self.device, self._bytes_beside())
        return self._form.read_by(reader)

    def _bytes_beside(self) -> int:
        """What lies on the device beside the model."""
        return 0

    @cached_property
    def texts(self) -> Texts:
        """What is known of the tokenizer's texts; of one with a digest by every model."""
        name = (self._tokenizer_digest, self.add_bos_token, self.prefix_token_id)
        return shared_texts(name) if self._tokenizer_digest else Texts()

    @cached_property
    def _planner(self) -> Planner:
        return Planner(self, self.texts, self._form.planner(self.reader))

    def _counting(self, kind: str, total: int, quiet: bool) -> tuple[Reader, Any]:
        """The reader with new counts, and a progress bar like HFLM's."""
        reader = self.reader
        self._before += reader.counts.tokens
        reader.counts, reader.dtype = Counts(), self.softmax_dtype
        self._counts = {**self._counts, kind: reader.counts}
        disabled = quiet or self.rank != 0
        return reader, tqdm(total=total, disable=disabled, desc=f"Running {kind} requests")

    def _say(self, counts: Counts) -> None:
        memory = (_peak_memory() or 0) / 1e9
        _log.info("Shared prefixes: %s; peak memory %.2f GB.", _tokens(counts), memory)

    def _allows(self) -> bool:
        """Whether prefixes are to be shared, and the model can; says once why it cannot."""
        if not self.prefix_sharing:
            return False
        if self._reason is None:
            self._reason = self._placement() or ""
            if not self._reason:
                form, self._reason = chosen(self.model)
                self._form = form or self._form
            if self._reason:
                _log.warning("Prefixes are not shared: %s.", self._reason)
        return not self._reason

    def _warn_of_length(self, count: int) -> None:
        most = longest_possible(self.model)
        if most < self.max_length:
            _log.warning(
                "%d requests go hf's way: beyond %d tokens rotary frequencies grow.", count, most
            )

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
