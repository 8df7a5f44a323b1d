"""Which requests for text are plain greedy decoding, and where HFLM ends their texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lm_eval.models.huggingface import HFLM

_HARMLESS = {  # settings of a generation configuration that greedy decoding does not heed
    *("_from_model_config", "transformers_version", "bos_token_id", "eos_token_id"),
    *("pad_token_id", "do_sample", "temperature", "top_k", "top_p", "max_length", "use_cache"),
}


@dataclass(frozen=True)
class Greedy:
    """A request for a greedy continuation.

    Attributes:
        context: its prompt.
        until: stop sequences.
        limit: tokens, at most.
    """

    context: str
    until: tuple[str, ...]
    limit: int


def greedy_request(lm: HFLM, arguments: tuple[Any, Any]) -> Greedy | None:
    """The request; None if it is more than greedy decoding up to a stop sequence."""
    context, given = arguments
    unusual = lm.backend != "causal" or lm.think_end_token is not None or lm.truncation
    if unusual or not isinstance(given, dict) or not context:
        return None
    settings: dict[str, Any] = dict(normalize_gen_kwargs(given, lm.max_gen_toks))
    eos = lm.tok_decode(lm.eot_token_id, skip_special_tokens=False)
    until = handle_stop_sequences(settings.pop("until", None), eos=eos)
    limit = int(settings.pop("max_gen_toks"))
    sampled = [settings.pop("do_sample", None), settings.pop("temperature", None)]
    if settings or any(sampled) or not 0 < limit < lm.max_length:
        return None
    return Greedy(context, tuple(until), limit)


def is_plainly_greedy(lm: HFLM) -> bool:
    """Whether the checkpoint's own generation configuration leaves greedy decoding plain."""
    defaults = lm.model.generation_config.to_diff_dict().items()
    return not {name for name, value in defaults if value} - _HARMLESS


class Stops:
    """Looks for stop sequences where HFLM's stopping criteria look: in the last few tokens.

    A stop sequence is completed by the token that brings its last character, so only behind such
    tokens the last ones are decoded.
    """

    def __init__(self, tokenizer: Any, until: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        encode, decode = tokenizer.encode, tokenizer.decode
        self._stops = [(stop, len(encode(stop, add_special_tokens=False)) + 2) for stop in until]
        self._last = {stop[-1] for stop in until}
        cleaned = bool(getattr(tokenizer, "clean_up_tokenization_spaces", False))
        self._always = cleaned or not all(map(str.isascii, self._last))
        self._before = encode("a", add_special_tokens=False)  # what begins a text may lose a space
        self._text_before: str = decode(self._before)
        self._may_end: dict[int, bool] = {}

    def done(self, tokens: list[int]) -> bool:
        """Whether the last of some tokens completes a stop sequence."""
        if not self._stops or not (self._always or self._may(tokens[-1])):
            return False
        decode = self._tokenizer.decode
        return any(stop in decode(tokens[-last:]) for stop, last in self._stops)

    def _may(self, token: int) -> bool:
        if token not in self._may_end:
            text = self._tokenizer.decode([*self._before, token])
            known = text.startswith(self._text_before)
            new = text[len(self._text_before) :]
            self._may_end[token] = not known or not new.isascii() or bool(self._last & set(new))
        return self._may_end[token]
