"""The documents on which evaluations differ, with what was asked and answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.analysis.pairs.comparison import paired_values
from pa_harness.analysis.pairs.pairing import pairs_of
from pa_harness.analysis.pairs.rows import Change
from pa_harness.runs.logged import answer_text, read_samples, target_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.analysis.pairs.pairing import Pairs
    from pa_harness.runs.logged import Evaluation, Logged


def changes(evaluations: Sequence[Evaluation]) -> list[Change]:
    """Every document on which an evaluation differs from the first, in the order of the tasks.

    Args:
        evaluations: two or more; their sample logs are read again.

    Raises:
        RunError: they share no task, or a log is damaged.
    """
    first, *others = evaluations
    return [
        change
        for other in others
        for pairs in pairs_of(first, other)[0]
        for change in _of_task(pairs, (first.label, other.label))
    ]


def _of_task(pairs: Pairs, labels: tuple[str, str]) -> list[Change]:
    a, b = paired_values(pairs)
    moved = np.flatnonzero(a != b)
    if not len(moved):
        return []
    up = pairs.first.score.higher_is_better
    asked = _samples(pairs.first, pairs.in_first[moved])
    asked_again = _samples(pairs.other, pairs.in_other[moved])
    return [
        Change(
            *(pairs.task, int(one["doc_id"]), str(one["doc_hash"]), *labels),
            change="won" if (b[place] > a[place]) == up else "lost",
            a=float(a[place]),
            b=float(b[place]),
            doc=json.dumps(one["doc"], ensure_ascii=False),
            target=target_text(one),
            answer_a=answer_text(one),
            answer_b=answer_text(two),
        )
        for place, one, two in zip(moved.tolist(), asked, asked_again, strict=True)
    ]


def _samples(side: Logged, places: Any) -> list[dict[str, Any]]:
    """Of these documents, in their order."""
    numbers = side.ids[places].tolist()
    found = read_samples(side.log, set(numbers), side.score.filter)
    return [found[number] for number in numbers]
