"""Tasks that were asked with several draws of their demonstrations, as one curve each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.runs.scores import DRAW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.analysis.trajectory import TaskCurve


def joined(tasks: Sequence[TaskCurve]) -> list[TaskCurve]:
    """The curves, where those of one task's draws are one: the mean over draws, by document.

    A document that lacks a number in some draw is left out; so is a metric that not all draws have.
    """
    groups: dict[str, list[TaskCurve]] = {}
    for task in tasks:
        groups.setdefault(task.name.partition(DRAW)[0], []).append(task)
    return [_mean(draws) if len(draws) > 1 else draws[0] for draws in groups.values()]


def _mean(draws: Sequence[TaskCurve]) -> TaskCurve:
    first, *others = draws
    ids = first.ids
    for other in others:
        ids = np.intersect1d(ids, other.ids)
    places = [np.searchsorted(each.ids, ids) for each in draws]
    pairs = list(zip(draws, places, strict=True))
    by_draw = np.stack([each.values[:, at] for each, at in pairs])
    shared = [key for key in first.more if all(key in other.more for other in others)]
    return replace(
        first,
        values=by_draw.mean(axis=0),
        ids=ids,
        more={k: np.mean([each.more[k][:, at] for each, at in pairs], axis=0) for k in shared},
        by_draw=by_draw,
    )
