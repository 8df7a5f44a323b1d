"""From texts to passes: tokenised and planned ahead of the device, remembered for the next λ."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pa_harness.models.requests import check_answer
from pa_harness.prefixes.compatibility import longest_possible
from pa_harness.prefixes.scoring import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lm_eval.models.huggingface import HFLM

    from pa_harness.models.texts import Pair, Texts

    Asked = tuple[tuple[str, str], ...]  # contexts and continuations

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply
_PART = 1024  # requests that are tokenised and planned while those before them are computed
_REMEMBERED = 1 << 25  # tokens of passes that are remembered, some 40 bytes each


class Planned:
    """The plans that answer some texts, each for the one before.

    Attributes:
        others: of the requests that go hf's way the numbers and tokens; known when the plans are.
    """

    def __init__(self, planner: Planner, texts: Asked) -> None:
        self._planner, self._texts = planner, texts
        self._parts: list[Any] = []
        self._complete = False
        self.others: dict[int, Pair] = {}

    @property
    def size(self) -> int:
        """Tokens in the passes."""
        return sum(part.distinct for part in self._parts)

    def __iter__(self) -> Iterator[Any]:
        if self._complete:
            yield from self._parts
            return
        self._parts, self.others = [], {}
        for part, others in self._planner.parts(self._texts):
            self.others |= others
            if part:
                before = self._parts[-1] if self._parts else None
                self._parts.append(self._planner.plan(part, before))
                yield self._parts[-1]
        self._complete = True


class Planner:
    """Plans for one model.

    Attributes:
        plan: makes one of requests and the plan before them, or None.
    """

    def __init__(
        self, lm: HFLM, texts: Texts, plan: Callable[[Mapping[int, Request], Any], Any]
    ) -> None:
        """Nothing is known yet.

        Args:
            lm: a decoder.
            texts: of its tokenizer.
            plan: of the form in which the model shares.
        """
        self.plan = plan
        self._lm, self._texts = lm, texts
        self._known: dict[Asked, Planned] = {}

    def planned(self, texts: Asked) -> Planned:
        """Plans for some texts; those of before where they were asked for before."""
        found = self._known.pop(texts, None) or Planned(self, texts)
        while self._known and sum(each.size for each in self._known.values()) > _REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known[texts] = found
        return found

    def parts(self, texts: Asked) -> Iterator[tuple[dict[int, Request], dict[int, Pair]]]:
        """The requests part by part, in the order of their texts; a thread tokenises ahead.

        Yields:
            Requests that share, and tokens of those that cannot; by number.
        """
        order = sorted(range(len(texts)), key=texts.__getitem__)
        parts, begin = [], 0
        while begin < len(order):
            end = min(begin + _PART, len(order))
            while end < len(order) and texts[order[end]][0] == texts[order[end - 1]][0]:
                end += 1  # the options of a question stay together
            parts.append(order[begin:end])
            begin = end
        most, length = longest_possible(self._lm.model), self._lm.max_length
        with ThreadPoolExecutor(1) as ahead:
            given = [[texts[n] for n in part] for part in parts]
            encoded = [ahead.submit(self._texts.pairs, self._lm, each) for each in given]
            for part, future in zip(parts, encoded, strict=True):
                pairs = dict(zip(part, future.result(), strict=True))
                for n, (_, rest) in pairs.items():
                    check_answer(texts[n], rest, length)
                mine = {n: each for n, each in pairs.items() if _fits(each, length, most)}
                _warn_of_cuts(mine, length)
                requests = {n: Request.cut(*each, length) for n, each in mine.items()}
                yield requests, {n: each for n, each in pairs.items() if n not in mine}


def _fits(pair: Pair, length: int, most: float) -> bool:
    """Whether a request may be shared; of a context without tokens HFLM knows what to say."""
    context, rest = pair
    return len(context) > 0 and bool(min(len(context) + len(rest) - 1, length) <= most)


def _warn_of_cuts(pairs: dict[int, Pair], length: int) -> None:
    long = sum(len(context) + len(rest) > length + 1 for context, rest in pairs.values())
    if long:
        _log.warning(
            "%d of %d requests are longer than the model's maximum length (%d) and were cut "
            "on the left.",
            *(long, len(pairs), length),
        )
