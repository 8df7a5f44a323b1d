"""F1 scores over a whole task, with a closed-form standard error.

lm-eval draws 100,000 bootstrap samples for such a score (minutes for every metric and λ) or gives
no error at all. Both scores here are means of ratios of sums over documents, so the delta method
gives the standard error in one pass. lm-eval has no place for an aggregation's own standard error;
a second metric called ``NAME_stderr`` fills the column it would leave at N/A:

    metric_list:
      - {metric: entity_f1, aggregation: !function pa_harness.tasks.f1.entity_f1, ...}
      - {metric: entity_f1_stderr, aggregation: !function pa_harness.tasks.f1.entity_f1_stderr, ...}

All values are fractions in [0, 1]; a score of nothing is nan.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Counts = tuple[float, float, float]
    Labels = tuple[int, int]


def entity_f1(items: Sequence[Counts]) -> float:
    """Micro-averaged F1 = 2 TP / (2 TP + FP + FN), sums over documents (seqeval's micro F1).

    Args:
        items: (true positives, false positives, false negatives) of each document.
    """
    twice, total = _entity_terms(items)
    return float(twice.sum() / total.sum()) if total.sum() else math.nan


def entity_f1_stderr(items: Sequence[Counts]) -> float:
    """Standard error of `entity_f1` over documents, by the delta method (see `f1_macro_stderr`)."""
    return _stderr([_influence(*_entity_terms(items))])


def entity_f1_values(items: Sequence[Counts]) -> np.ndarray:
    """Per document a number whose mean is `entity_f1` of them all.

    F1 = r = Σa / Σb, a = 2 TP and b = 2 TP + FP + FN, is no mean over documents. To first order
    document i moves it by (a_i − r b_i) / mean(b) (Cochran 1977, section 2.11), so that

        r + (a_i − r b_i) / mean(b)

    has the mean r, and the standard error of that mean is F1's by the delta method.

    Returns:
        Shape (documents,); NaN where there is nothing to find and nothing was found in any.
    """
    return entity_f1(items) + _influence(*_entity_terms(items))


def f1_macro(items: Sequence[Labels]) -> float:
    """Unweighted mean of the classes' F1 (scikit-learn's ``average="macro"``).

    Classes that neither occur nor are predicted do not count.

    Args:
        items: (gold, predicted) class of each document.
    """
    scores = [hit.sum() / total.sum() for hit, total in _class_terms(items)]
    return float(np.mean(scores)) if scores else math.nan


def f1_macro_stderr(items: Sequence[Labels]) -> float:
    """Standard error of `f1_macro` over documents, by the delta method.

    A class's F1 is a ratio r = Σa / Σb, a = 2·[gold = pred = c] and b = [gold = c] + [pred = c].
    To first order a document moves it by (a − r b) / mean(b); the standard error is that of the
    mean of these influences, averaged over the classes (Cochran 1977, section 2.11).

    Returns:
        Fraction; nan for fewer than two documents.
    """
    return _stderr([_influence(*terms) for terms in _class_terms(items)])


def _entity_terms(items: Sequence[Counts]) -> tuple[np.ndarray, np.ndarray]:
    counts = np.asarray(items, dtype=np.float64).reshape(-1, 3)  # [n, 3]
    twice = 2 * counts[:, 0]
    return twice, twice + counts[:, 1] + counts[:, 2]


def _class_terms(items: Sequence[Labels]) -> list[tuple[np.ndarray, np.ndarray]]:
    labels = np.asarray(items, dtype=np.int64).reshape(-1, 2)  # [n, 2]
    terms = []
    for label in np.unique(labels):
        is_it = (labels == label).astype(np.float64)
        terms.append((2 * is_it.prod(axis=1), is_it.sum(axis=1)))
    return terms


def _influence(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    if not denominator.sum():
        return np.full(len(numerator), math.nan)
    ratio = numerator.sum() / denominator.sum()
    influence: np.ndarray = (numerator - ratio * denominator) / denominator.mean()
    return influence


def _stderr(influences: list[np.ndarray]) -> float:
    if not influences or len(influences[0]) < 2:
        return math.nan
    mean = np.mean(influences, axis=0)  # [n]
    return float(mean.std(ddof=1) / math.sqrt(len(mean)))
