"""What lm-eval's sample logs say document by document: metric values, options, answers.

Everything that is paired by document (differences along λ, their intervals, calibration) comes from
here. A sample is lm-eval's own dict, as `evaluate` returns it or as it stands in a line of
``samples_*.jsonl``, where numbers inside `resps` have become texts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pa_harness.tasks.f1 import entity_f1_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OPTIONS = "options"  # the filter name of what is derived from option log-likelihoods
COUNT = f"count,{OPTIONS}"
ANSWER = "answer"  # the filter name of what is derived from generated answers
COSTS = {  # what an answer costs, by the name that people use
    "answer_tokens": f"length,{ANSWER}",
    "thinking_tokens": f"thinking,{ANSWER}",
    "closed": f"closed,{ANSWER}",
    "ended": f"ended,{ANSWER}",
}
LENGTHS = tuple(f"{name},{ANSWER}" for name in ("length", "ended", "thinking", "closed"))
Sample = dict[str, Any]


@dataclass
class DocumentValues:
    """Numbers per document of one task at one λ.

    `values` holds one list per ``metric,filter``, in the order of `ids`; NaN where a document has
    none. Beside lm-eval's metrics it has, where there are options to choose from,

        hit,options          1 where the likeliest option is the right one, else 0
        confidence,options   the probability of the likeliest option
        brier,options        Σ_options (p − 1[right])², from 0 to 2

    with every other number how many answers there were to choose from,

        count,options        of requests; 1 for free text

    with p = softmax of the options' summed log-likelihoods (as in lm-eval's brier_score), and for
    generated answers

        length,answer        tokens of the answer, an end token left out
        ended,answer         1 where it ended by itself, 0 where it was cut at the limit

    and of models that think (`think_end_token`)

        thinking,answer      tokens up to the end of the thinking; all where it never ended
        closed,answer        1 where the answer has the mark that ends the thinking

    as they were generated: where the text alone is known (an answer from a --use_cache file) they
    are absent. Of several answers to a document these are means over its answers, which `repeats`
    has one by one: metric -> by document, in the order of `ids`, a number for each answer.
    """

    ids: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    clusters: list[str] = field(default_factory=list)  # in the order of `ids`; none: not known
    repeats: dict[str, list[list[float]]] = field(default_factory=dict)


def document_values(
    samples: Iterable[Sample], lengths: Mapping[str, Sequence[Sequence[float]]] | None = None
) -> DocumentValues:
    """The numbers of one task's samples, in the order of their documents.

    Args:
        samples: of all filters; a document has one sample for each.
        lengths: by prompt, of each of its answers in their order: its tokens, whether it ended,
            tokens of thinking, whether that was closed; the last two NaN where nothing thinks.
    """
    found: dict[int, dict[str, float]] = {}
    counts: dict[str, dict[int, tuple[float, float, float]]] = {}
    answers = _Answers(lengths or {})
    for sample in samples:
        numbers = found.setdefault(int(sample["doc_id"]), {})
        name = sample.get("filter", "none")
        for metric in sample.get("metrics") or ():
            value = sample.get(metric)
            if isinstance(value, (bool, int, float)) or hasattr(value, "__float__"):
                numbers[f"{metric},{name}"] = float(value)  # type: ignore[arg-type]
            elif metric.endswith("f1") and isinstance(value, (list, tuple)) and len(value) == 3:
                true, extra, missed = map(float, value)
                of_document = counts.setdefault(f"{metric},{name}", {})
                of_document[int(sample["doc_id"])] = (true, extra, missed)
        if f"hit,{OPTIONS}" not in numbers:
            numbers.update(_options(sample))
        if numbers:
            numbers[COUNT] = float(len(_one_each(sample, _arguments(sample))))
        if lengths:
            numbers.update(answers.means(sample))
    for key, of_document in counts.items():
        values = entity_f1_values([*of_document.values()])
        for number, value in zip(of_document, values.tolist(), strict=True):
            found[number][key] = value
    ids = sorted(found)
    keys = list(dict.fromkeys(key for number in ids for key in found[number]))
    return DocumentValues(
        ids,
        {key: [found[number].get(key, math.nan) for number in ids] for key in keys},
        repeats=answers.repeats(ids),
    )


def option_log_likelihoods(sample: Sample) -> tuple[list[float], int] | None:
    """The options' log-likelihoods (nats) and the index of the right one; None without options.

    None also where contexts differ between options (the right one is then not in the sample), and
    where more than one option is right.
    """
    arguments = _arguments(sample)
    try:
        pairs = [(float(each[0][0]), each[0][1]) for each in sample["resps"]]
    except (TypeError, ValueError, IndexError, KeyError):
        return None
    pairs, arguments = _one_each(sample, pairs), _one_each(sample, arguments)
    if len(pairs) < 2 or len({str(each[0]) for each in arguments}) != 1:
        return None
    right = _right(sample, [str(each[1]) for each in arguments])
    return None if right is None else ([value for value, _ in pairs], right)


def _one_each(sample: Sample, requests: list[Any]) -> list[Any]:
    """One for each option: for acc_mutual_info the second half are those without their context."""
    twice = "acc_mutual_info" in (sample.get("metrics") or ())
    return requests[: len(requests) // 2] if twice else requests


def _arguments(sample: Sample) -> list[Sequence[Any]]:
    """The requests' arguments; logs name them gen_args_0: {arg_0: …}, in order."""
    arguments = sample["arguments"]
    if isinstance(arguments, dict):
        return [list(each.values()) for each in arguments.values()]
    return list(arguments)


def _right(sample: Sample, options: list[str]) -> int | None:
    """The index of the right option, as lm-eval finds it; None where that cannot be told.

    A whole number is an index, a text one of the options. A log has its numbers as texts, too, so
    that there what may be either is neither.
    """
    target = sample.get("target")
    if isinstance(target, int):
        return target if 0 <= target < len(options) else None
    text = str(target).strip()
    found = {number for number, option in enumerate(options) if option.strip() == text}
    from_log = isinstance(sample["arguments"], dict)
    if text.isdecimal() and int(text) < len(options) and (from_log or not found):
        found.add(int(text))
    return found.pop() if len(found) == 1 else None


def _options(sample: Sample) -> dict[str, float]:
    found = option_log_likelihoods(sample)
    if found is None:
        return {}
    values, right = found
    top = max(values)
    if not math.isfinite(top):
        return {}
    weights = [math.exp(value - top) for value in values]
    p = [weight / sum(weights) for weight in weights]
    return {
        f"hit,{OPTIONS}": float(values.index(top) == right),
        f"confidence,{OPTIONS}": max(p),
        f"brier,{OPTIONS}": sum((each - (n == right)) ** 2 for n, each in enumerate(p)),
    }


class _Answers:
    """The lengths of documents' answers, dealt out in the order in which they were generated."""

    def __init__(self, lengths: Mapping[str, Sequence[Sequence[float]]]) -> None:
        self._lengths = lengths
        self._dealt: dict[str, int] = {}
        self._found: dict[int, list[Sequence[float]]] = {}  # by document

    def means(self, sample: Sample) -> dict[str, float]:
        """Of one document; {} where nothing is known of its answers."""
        number = int(sample["doc_id"])
        if number not in self._found:
            self._found[number] = self._of(sample)
        columns = zip(*self._found[number], strict=True)
        means = {
            name: sum(column) / len(column) for name, column in zip(LENGTHS, columns, strict=False)
        }
        return {name: mean for name, mean in means.items() if not math.isnan(mean)}

    def repeats(self, ids: Sequence[int]) -> dict[str, list[list[float]]]:
        """By answer, where documents have several."""
        several = {number: found for number, found in self._found.items() if len(found) > 1}
        nothing = [(math.nan,) * len(LENGTHS)] * max(map(len, several.values()), default=0)
        every = [several.get(number, nothing) for number in ids]
        return {
            name: [[float(length[place]) for length in found] for found in every]
            for place, name in enumerate(LENGTHS)
            if any(
                place < len(each) and each[place] == each[place]
                for of in several.values()
                for each in of
            )
        }

    def _of(self, sample: Sample) -> list[Sequence[float]]:
        try:
            prompt, count = str(_arguments(sample)[0][0]), len(sample["resps"][0])
            known = self._lengths[prompt]
        except (IndexError, KeyError, TypeError, ValueError):
            return []
        first = self._dealt.get(prompt, 0)
        self._dealt[prompt] = first + count
        # what is not sampled is generated once, however often it is asked
        return [known[min(place, len(known) - 1)] for place in range(first, first + count)]
