"""Scores of one generated answer: SQuAD's EM and F1, and named entities.

Task YAMLs name what is here as ``process_results: !function pa_harness.tasks.answers.NAME``.
DROP's EM and F1 are lm-eval's own (``lm_eval.tasks.drop.utils``). All scores are fractions in
[0, 1].
"""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import TYPE_CHECKING, Any

from pa_harness.tasks.documents import ENTITY_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ENTITY = re.compile(rf"\s*(.+?)\s*\(({'|'.join(ENTITY_TYPES)})\)\s*")


def normalized(answer: str) -> str:
    """Lower case, without punctuation, articles and double spaces (the official SQuAD script)."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def token_f1(prediction: str, reference: str) -> float:
    """F1 of the two bags of normalised words (the official SQuAD script).

    Where nothing is left of either, 1 if nothing is left of both, else 0 (the 2.0 script).
    """
    predicted, wanted = normalized(prediction).split(), normalized(reference).split()
    if not predicted or not wanted:
        return float(predicted == wanted)
    common = sum((Counter(predicted) & Counter(wanted)).values())
    return 2 * common / (len(predicted) + len(wanted)) if common else 0.0


def squad(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """``exact_match`` and ``f1`` of the answer, each the best over the references.

    Args:
        doc: A SQuAD row; the references are ``doc["answers"]["text"]``.
        results: The generated answer, alone in a list.
    """
    references = doc["answers"]["text"]
    return {
        "exact_match": max(float(normalized(results[0]) == normalized(r)) for r in references),
        "f1": max(token_f1(results[0], reference) for reference in references),
    }


def mentions(line: str) -> Counter[tuple[str, str]]:
    """``text (type); text (type)`` as a bag of (lower-cased text, type).

    What is not of that form counts as a mention of type ``?``, so as a false positive; ``none`` and
    an empty line hold no mention.
    """
    found: Counter[tuple[str, str]] = Counter()
    for part in line.split(";"):
        match = _ENTITY.fullmatch(part)
        if match:
            found[match[1].lower(), match[2]] += 1
        elif part.strip().lower() not in ("", "none"):
            found[part.strip().lower(), "?"] += 1
    return found


def wnut17(doc: dict[str, Any], results: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """(true positives, false positives, false negatives) of the generated entities.

    Differs from seqeval in that generated text has no positions: two bags of mentions are compared.
    For tags whose mentions differ in text the counts are seqeval's.

    Args:
        doc: A row of `documents.wnut17`.
        results: The generated line, alone in a list.
    """
    wanted, predicted = mentions(doc["entities"]), mentions(results[0])
    hits = (wanted & predicted).total()
    counts = (hits, predicted.total() - hits, wanted.total() - hits)
    return {"entity_f1": counts, "entity_f1_stderr": counts}


def classification(doc: dict[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """``acc`` and the (gold, predicted) pairs of ``f1_macro`` for options in the labels' order.

    Args:
        doc: A row whose ``label`` is the index of the right option.
        results: (log-likelihood, is greedy) of each option.
    """
    scores = [score for score, _ in results]
    pair = (int(doc["label"]), scores.index(max(scores)))
    return {"acc": float(pair[0] == pair[1]), "f1_macro": pair, "f1_macro_stderr": pair}
