"""A comparison's rows and its verdicts, as records.

The verdict on a row is one of

    better, worse  the corrected p is at most 0.05
    same           no document changed
    unclear        no difference is shown
    few            there are fewer than `FEWEST` clusters of documents: nothing is concluded
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pa_harness.analysis.intervals import LEVEL
from pa_harness.analysis.verdict import FEWEST

BETTER, WORSE, SAME, UNCLEAR, FEW = "better", "worse", "same", "unclear", "few"


@dataclass(frozen=True)
class Compared:
    """One task, or an average of several, of one evaluation against the first.

    Attributes:
        task: its name, or the average's.
        metric: ``metric,filter``; of an average empty.
        a: value of the first, over the paired documents, in the metric's own unit.
        b: of the other.
        difference: b − a.
        low: of the 95% interval; not corrected for the number of tasks.
        high: likewise.
        p: two-sided, of no difference; NaN where one cluster is all.
        n: documents (pairs; of unpaired ones those of both together).
        clusters: that these are of.
        lost: documents on which the other does worse; right → wrong for right or wrong answers.
        won: on which it does better; both None where unpaired. The difference of accuracies is
            (won − lost) / n.
        first: label of the first.
        other: label of the other.
        corrected_p: p after Holm's correction; of averages p itself.
        detectable: difference that 80% of such comparisons would have shown by p ≤ 0.05.
        error: standard error of the difference.
        higher_is_better: of the metric.
        exact: whether p is of the exact test.
        lost_corrected: share of documents lost, without what guessing brings
            (`analysis.pairs.ledger`), with its 95% interval; NaN where answers are not right or
            wrong, or unpaired. `won_corrected` likewise.
        verdict: in a word.
    """

    task: str
    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    n: int
    clusters: int
    lost: int | None
    won: int | None
    first: str
    other: str
    corrected_p: float
    detectable: float
    error: float
    higher_is_better: bool
    exact: bool
    lost_corrected: float = math.nan
    lost_corrected_low: float = math.nan
    lost_corrected_high: float = math.nan
    won_corrected: float = math.nan
    won_corrected_low: float = math.nan
    won_corrected_high: float = math.nan
    verdict: str = ""

    @property
    def fraction(self) -> bool:
        """Whether the values are shares, to be told in points."""
        return 0 <= self.a <= 1 and 0 <= self.b <= 1


@dataclass(frozen=True)
class Change:
    """A document on which two evaluations differ.

    Attributes:
        task: its task.
        document: its number in the first evaluation.
        doc_hash: lm-eval's: SHA-256 of the document.
        first: label of the first evaluation.
        other: label of the other.
        change: lost or won.
        a: the first's number.
        b: the other's.
        doc: the document, as JSON.
        target: the right answer, where the log has one.
        answer_a: what the first answered: the likeliest option, or the generated text.
        answer_b: what the other did.
    """

    task: str
    document: int
    doc_hash: str
    first: str
    other: str
    change: str
    a: float
    b: float
    doc: str
    target: str
    answer_a: str
    answer_b: str


@dataclass(frozen=True)
class Comparison:
    """A table of evaluations against the first."""

    labels: tuple[str, ...]
    paired: bool
    tasks: tuple[Compared, ...]
    suites: tuple[Compared, ...]
    notes: tuple[str, ...]


def verdict_on(row: Compared) -> str:
    """The verdict, in a word."""
    if row.lost == row.won == 0 and row.difference == 0:
        return SAME
    if row.clusters < FEWEST or math.isnan(row.corrected_p):
        return FEW
    if row.corrected_p > 1 - LEVEL:
        return UNCLEAR
    return BETTER if (row.difference > 0) == row.higher_is_better else WORSE
