"""Which documents of two evaluations are the same, and whether they were asked the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pa_harness.errors import RunError, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pa_harness.runs.logged import Evaluation, Logged

_NAMED = 5  # documents that are named of those that do not pair


@dataclass(frozen=True)
class Pairs:
    """One task's documents that both have a number of.

    Attributes:
        task: its name.
        first: of one evaluation.
        other: of the other.
        in_first: places of the paired documents in `first`; `in_other` likewise.
    """

    task: str
    first: Logged
    other: Logged
    in_first: NDArray[np.int64]
    in_other: NDArray[np.int64]

    @property
    def only(self) -> tuple[int, int]:
        """Documents that only one of them has."""
        return (
            len(self.first.ids) - len(self.in_first),
            len(self.other.ids) - len(self.in_other),
        )

    def notes(self, labels: tuple[str, str]) -> list[str]:
        """What does not pair, counted and named."""
        found = []
        for label, side, inside in zip(
            labels, (self.first, self.other), (self.in_first, self.in_other), strict=True
        ):
            others = np.ones(len(side.ids), dtype=bool)
            others[inside] = False
            alone = np.flatnonzero(others)
            if len(alone):
                names = ", ".join(str(side.ids[place]) for place in alone[:_NAMED])
                more = ", …" if len(alone) > _NAMED else ""
                found.append(
                    f"{self.task}: {len(alone)} of {len(side.ids)} documents only in {label} "
                    f"(number {names}{more}): left out."
                )
        return found

    def differing(self) -> str:
        """What was asked otherwise; empty where all was asked alike."""
        one, other = self.first.score, self.other.score
        parts = []
        if one.task_version != other.task_version:
            parts.append(f"version {one.task_version}, not {other.task_version}")
        if one.num_fewshot != other.num_fewshot:
            parts.append(f"{one.num_fewshot} shots, not {other.num_fewshot}")
        prompts = self.first.prompts[self.in_first] != self.other.prompts[self.in_other]
        if prompts.any():
            parts.append(f"{int(prompts.sum())} of {len(prompts)} prompts differ")
        return "; ".join(parts)


def pairs_of(first: Evaluation, other: Evaluation) -> tuple[list[Pairs], list[str]]:
    """The tasks that both have, paired, and what must be said of the others.

    Raises:
        RunError: they share no task, or none by the same metric.
    """
    found, notes = [], []
    for name, one in first.tasks.items():
        two = other.tasks.get(name)
        if two is None:
            notes.append(f"{name} is only in {first.label}: left out.")
        elif one.score.key != two.score.key:
            notes.append(
                f"{name}: {one.score.key} in {first.label}, {two.score.key} in {other.label}: left "
                f"out. --metrics {name}={one.score.key} compares one metric."
            )
        else:
            found.append(_paired(name, one, two))
    notes += [
        f"{name} is only in {other.label}: left out."
        for name in other.tasks
        if name not in first.tasks
    ]
    if not found:
        raise RunError(
            f"{first.label} and {other.label} share no task that can be compared:\n{listed(notes)}"
        )
    return found, notes


def _paired(name: str, one: Logged, two: Logged) -> Pairs:
    _, in_first, in_other = np.intersect1d(
        one.documents, two.documents, assume_unique=True, return_indices=True
    )
    known = ~np.isnan(one.values[in_first]) & ~np.isnan(two.values[in_other])
    order = np.argsort(in_first[known], kind="stable")
    return Pairs(name, one, two, in_first[known][order], in_other[known][order])


def check_alike(pairs: Sequence[Pairs], labels: tuple[str, str]) -> None:
    """Refuse what was not asked alike, or of different documents.

    Raises:
        RunError: it says of which tasks, and what differs.
    """
    apart = [f"{each.task}: {each.differing()}" for each in pairs if each.differing()]
    apart += [f"{each.task}: no document in common" for each in pairs if not len(each.in_first)]
    if apart:
        raise RunError(
            f"{labels[0]} and {labels[1]} were not asked the same:\n{listed(apart)}\nEvaluate both "
            "alike, or compare their means as of different documents: --unpaired."
        )
