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
ANSWER = "answer"  # the filter name of what is derived from generated answers
Sample = dict[str, Any]


@dataclass
class DocumentValues:
    """Numbers per document of one task at one λ.

    `values` holds one list per ``metric,filter``, in the order of `ids`; NaN where a document has
    none. Beside lm-eval's metrics it has, where there are options to choose from,

        hit,options          1 where the likeliest option is the right one, else 0
        confidence,options   the probability of the likeliest option
        brier,options        Σ_options (p − 1[right])², from 0 to 2

    with p = softmax of the options' summed log-likelihoods (as in lm-eval's brier_score), and for
    generated answers

        length,answer        tokens of the answer, an end token left out
        ended,answer         1 where it ended by itself, 0 where it ran into the limit

    as they were generated: where the text alone is known (an answer from a --use_cache file) they
    are absent.
    """

    ids: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    clusters: list[str] = field(default_factory=list)  # in the order of `ids`; none: not known


def document_values(
    samples: Iterable[Sample], lengths: Mapping[str, tuple[int, bool]] | None = None
) -> DocumentValues:
    """The numbers of one task's samples, in the order of their documents.

    Args:
        samples: of all filters; a document has one sample for each.
        lengths: by prompt, how many tokens its answer has, and whether it ended.
    """
    found: dict[int, dict[str, float]] = {}
    counts: dict[str, dict[int, tuple[float, float, float]]] = {}
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
        if lengths and f"length,{ANSWER}" not in numbers:
            numbers.update(_answer(sample, lengths))
    for key, of_document in counts.items():
        values = entity_f1_values([*of_document.values()])
        for number, value in zip(of_document, values.tolist(), strict=True):
            found[number][key] = value
    ids = sorted(found)
    keys = list(dict.fromkeys(key for number in ids for key in found[number]))
    return DocumentValues(
        ids, {key: [found[number].get(key, math.nan) for number in ids] for key in keys}
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
    if "acc_mutual_info" in (sample.get("metrics") or ()):
        half = len(pairs) // 2  # the second half are the options without their context
        pairs, arguments = pairs[:half], arguments[:half]
    if len(pairs) < 2 or len({str(each[0]) for each in arguments}) != 1:
        return None
    right = _right(sample.get("target"), [str(each[1]) for each in arguments])
    return None if right is None else ([value for value, _ in pairs], right)


def _arguments(sample: Sample) -> list[Sequence[Any]]:
    """The requests' arguments; logs name them gen_args_0: {arg_0: …}, in order."""
    arguments = sample["arguments"]
    if isinstance(arguments, dict):
        return [list(each.values()) for each in arguments.values()]
    return list(arguments)


def _right(target: Any, options: list[str]) -> int | None:
    try:
        index = int(target)
    except (TypeError, ValueError):
        same = [n for n, option in enumerate(options) if option.strip() == str(target).strip()]
        return same[0] if len(same) == 1 else None
    return index if 0 <= index < len(options) else None


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


def _answer(sample: Sample, lengths: Mapping[str, tuple[int, bool]]) -> dict[str, float]:
    try:
        tokens, ended = lengths[_arguments(sample)[0][0]]
    except (IndexError, KeyError, TypeError):
        return {}
    return {f"length,{ANSWER}": float(tokens), f"ended,{ANSWER}": float(ended)}
