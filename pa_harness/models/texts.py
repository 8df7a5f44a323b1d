"""The tokens of texts, each text tokenised once: for all its requests, all λ, all models alike.

Tokens are split between context and continuation as HFLM splits them; what is different is only
that the tokenizer is given many texts in one call, and none of them twice.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TokenizersBackend

from pa_harness.prefixes.trie import TokenTrie

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from lm_eval.models.huggingface import HFLM

    Tokens = np.ndarray[tuple[int], np.dtype[np.int32]]
    Pair = tuple[Tokens, tuple[int, ...]]  # of a context and of what follows it

_MOST = 1 << 28  # tokens that are remembered: 1 GiB
_shelf: dict[Hashable, Texts] = {}


class Texts:
    """What is known of one tokenizer's texts.

    Attributes:
        given: texts that the tokenizer was given.
    """

    def __init__(self) -> None:
        self.given = 0
        self._contexts: dict[bytes, Tokens] = {}
        self._rests: dict[bytes, tuple[int, ...]] = {}
        self._size = 0

    def pairs(self, lm: HFLM, texts: Sequence[tuple[str, str]]) -> list[Pair]:
        """The tokens of contexts and continuations, as HFLM's `loglikelihood` makes them.

        Args:
            lm: a decoder; of it the tokenizer and how it is used.
            texts: contexts, which may be empty, and continuations.
        """
        self._forget_if_many()
        keys = [_key(*pair) for pair in texts]
        new = {k: t for k, t in zip(keys, texts, strict=True) if k not in self._rests}
        if new:
            self._learn(lm, new)
        return [self._known(lm, key, pair) for key, pair in zip(keys, texts, strict=True)]

    def prompts(self, lm: HFLM, contexts: Sequence[str]) -> list[Tokens]:
        """The tokens of prompts, as HFLM's `tok_batch_encode` makes them of each alone, uncut."""
        self._forget_if_many()
        keys = [_key("prompt", context) for context in contexts]
        new = {k: t for k, t in zip(keys, contexts, strict=True) if k not in self._contexts}
        if new:
            bos, default = getattr(lm.tokenizer, "bos_token", None), lm.add_bos_token
            special = [False if bos and text.startswith(bos) else default for text in new.values()]
            found = self._encode(lm, list(zip(new.values(), special, strict=True)))
            for key, tokens in zip(new, found, strict=True):
                self._keep(key, tokens)
        return [self._contexts[key] for key in keys]

    def distinct(self, lm: HFLM, requests: Sequence[Any]) -> int | None:
        """Distinct tokens of the requests' prompts and options: the least that answers them once.

        Args:
            lm: as in `pairs`.
            requests: lm-eval's instances.

        Returns:
            The number, without what is generated; None where whole texts are scored in windows.
        """
        given: dict[str, list[Any]] = {"loglikelihood": [], "generate_until": []}
        for request in requests:
            if request.request_type not in given:
                return None
            given[request.request_type].append(request.args)
        sequences = self.prompts(lm, [context for context, _ in given["generate_until"]])
        for context, rest in self.pairs(lm, given["loglikelihood"]):
            sequences.append(np.concatenate([context, np.array(rest[:-1], dtype=np.int32)]))
        return TokenTrie([each for each in sequences if len(each)]).distinct

    def _learn(self, lm: HFLM, new: dict[bytes, tuple[str, str]]) -> None:
        """Tokenise what is not known of some pairs."""
        bos, default = lm.tokenizer.decode(lm.prefix_token_id), lm.add_bos_token
        heads = {context.rstrip() for context, _ in new.values() if context}
        fresh = {key: head for head in heads if (key := _key("", head)) not in self._contexts}
        wholes = {(context + rest, bool(context)) for context, rest in new.values()}
        asked = [*((head, True) for head in fresh.values()), *wholes]
        found = self._encode(
            lm,
            [
                (text, False if not inside or text.startswith(bos) else default)
                for text, inside in asked  # an empty context has no special tokens behind it
            ],
        )
        for key, tokens in zip(fresh, found, strict=False):
            self._keep(key, tokens)
        tokens_of = dict(zip(asked[len(fresh) :], found[len(fresh) :], strict=True))
        for key, (context, rest) in new.items():
            whole = tokens_of[context + rest, bool(context)]
            begin = len(self._contexts[_key("", context.rstrip())]) if context else 0
            self._rests[key] = tuple(whole[begin:].tolist())

    def _known(self, lm: HFLM, key: bytes, pair: tuple[str, str]) -> Pair:
        rest, context = self._rests[key], pair[0].rstrip()
        if pair[0]:
            return self._contexts[_key("", context)], rest
        if rest and rest[0] == lm.prefix_token_id:  # it stands for the empty context by itself
            return np.array(rest[:1], dtype=np.int32), rest[1:]
        return np.array([lm.prefix_token_id], dtype=np.int32), rest

    def _encode(self, lm: HFLM, texts: Sequence[tuple[str, bool | None]]) -> list[Tokens]:
        """Tokens of texts, each with whether special tokens are added; None is as by default."""
        self.given += len(texts)
        found: dict[int, Tokens] = {}
        for special in {special for _, special in texts}:
            places = [n for n, (_, each) in enumerate(texts) if each is special]
            encoded = _encoded(lm.tokenizer, [texts[n][0] for n in places], special)
            for place, ids in zip(places, encoded, strict=True):
                found[place] = np.array(ids, dtype=np.int32)
        return [found[n] for n in range(len(texts))]

    def _keep(self, key: bytes, tokens: Tokens) -> None:
        self._contexts[key] = tokens
        self._size += len(tokens)

    def _forget_if_many(self) -> None:
        if self._size > _MOST:
            self._contexts, self._rests, self._size = {}, {}, 0


def shared_texts(tokenizer: Hashable) -> Texts:
    """What is known of a tokenizer's texts in this process.

    Args:
        tokenizer: what tells it from others: a digest of all that decides over tokens.
    """
    if tokenizer not in _shelf:
        while len(_shelf) > 1:  # the one before may come back
            _shelf.pop(next(iter(_shelf)))
        _shelf[tokenizer] = Texts()
    return _shelf[tokenizer]


def _encoded(tokenizer: Any, texts: list[str], special: bool | None) -> Iterator[list[int]]:
    """What the tokenizer's own call gives; of a plain fast one less work, without offsets."""
    options: dict[str, Any] = {} if special is None else {"add_special_tokens": special}
    calls = (type(tokenizer).__call__, getattr(type(tokenizer), "_encode_plus", None))
    plain = calls == (TokenizersBackend.__call__, getattr(TokenizersBackend, "_encode_plus"))  # noqa: B009 -- private
    own, rest = (texts[:1], texts[1:]) if plain else (texts, [])
    yield from tokenizer(own, verbose=False, **options)["input_ids"]  # and sets the fast one up
    if rest:
        fast = tokenizer.backend_tokenizer
        yield from (each.ids for each in fast.encode_batch_fast(rest, **options))


def _key(*texts: str) -> bytes:
    return hashlib.blake2b("\0".join(texts).encode(errors="surrogatepass"), digest_size=16).digest()
