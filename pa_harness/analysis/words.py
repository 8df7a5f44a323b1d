"""A choice as sentences: what the numbers support, and no more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.analysis.intervals import Array
    from pa_harness.analysis.verdict import Choice


def sentence(choice: Choice, lams: Array) -> str:
    """What a rule found, in one to three sentences.

    Args:
        choice: its record.
        lams: of the sweep.
    """
    points = _Points(choice)
    rule = f"by the rule '{choice.meaning}'"
    at_once = f"95% for all {len(lams)} λ at once"
    ends = f"{points.to(choice.low, choice.high)}; {at_once}"
    apart = f"{points.of(choice.difference)} ({ends})"
    found = _found(choice, points)
    if choice.verdict == "none":
        text = f"No λ may be chosen {rule}: {_failing(choice)}."
        return " ".join([text, *_certifiable(choice, lams, range(len(lams)))])
    if choice.verdict == "few":
        count = counted(choice.documents, choice.clusters)
        are = "is" if choice.documents == 1 else "are"
        return f"No verdict {rule}: {count} {are} too few to tell λ apart."
    if choice.verdict == "better":
        gain = choice.gain
        text = (
            f"λ = {choice.lam:g} is better than λ = 1 {rule}: {apart}. Choosing so gains "
            f"{points.of(gain.estimate)} (95% interval {points.to(gain.low, gain.high)}; measured "
            "on documents that had no say in the choice)."
        )
    elif choice.verdict == "needed":
        text = (
            f"λ = {choice.lam:g} is chosen {rule}: λ = 1 may not be. Against λ = 1 it is {apart}."
        )
    elif choice.verdict == "kept":
        text = f"Keep λ = 1 {rule}{_alone(choice, lams)}.{found}"
    else:
        start = "no λ is shown to be better or worse"
        if choice.verdict == "unclear":
            start = "no λ is shown to be better, some are worse"
        best = f"best candidate λ = {choice.candidate:g}: {points.of(choice.difference)}, {ends}"
        text = f"Keep λ = 1 {rule}: {start} ({best}).{found}"
    return " ".join([text, *_promised(choice, lams)])


def _found(choice: Choice, points: _Points) -> str:
    """What such sweeps would have shown; nothing where the documents cannot say it."""
    text = ""
    if choice.same and len(choice.admitted) > 1:
        count = counted(choice.documents, choice.clusters)
        text = f" No λ differs from it: the same on all {count}."
    if not choice.detectable > 0:
        return text
    shown = points.of(choice.detectable, sign=False)
    return f"{text} 80% of such sweeps would have found a difference of {shown}."


def _alone(choice: Choice, lams: Array) -> str:
    """That there is nothing else, or that nothing else may be chosen, where it is so."""
    if len(lams) == 1:
        return ": no other was swept"
    return ": nothing else may be chosen" if sum(choice.admitted) == 1 < len(lams) else ""


def _promised(choice: Choice, lams: Array) -> list[str]:
    """How sure each constraint is at the candidate, and what the documents could certify."""
    texts = []
    place = list(lams).index(choice.candidate)
    for kept in choice.kept:
        count = counted(kept.documents, kept.clusters)
        if choice.candidate != 1:
            texts.append(
                f"At λ = {choice.candidate:g} {kept.constraint} holds with a probability of "
                f"{kept.probability[place]:.0%} for documents of this kind ({count})."
            )
    rest = [n for n, lam in enumerate(lams) if lam != 1]
    if choice.candidate == 1 and not any(choice.admitted[n] for n in rest):
        texts += _certifiable(choice, lams, rest)
    return texts


def _failing(choice: Choice) -> str:
    """Why no λ may be chosen."""
    if any(math.isnan(each) for kept in choice.kept for each in kept.probability):
        return "a share of 0 is not defined"
    return f"with {percent(choice.kept[0].level)} none keeps what must be kept"


def _certifiable(choice: Choice, lams: Array, rows: Sequence[int]) -> list[str]:
    """What keeps all of these λ from being chosen, and what could be kept instead."""
    texts, level = [], percent(choice.kept[0].level) if choice.kept else ""
    for kept in choice.kept if rows else ():
        if math.isnan(kept.probability[rows[0]]):
            texts.append(f"{kept.constraint} is a share of 0: name a number to be kept instead.")
        elif not any(kept.sure[row] for row in rows):
            best = max(rows, key=lambda n: kept.certified[n] * (1 if kept.at_least else -1))
            count = counted(kept.documents, kept.clusters)
            at = "any other λ" if any(kept.sure) else "any λ"
            texts.append(
                f"{count[0].upper()}{count[1:]} cannot certify {kept.constraint} at {at} with "
                f"{level}; at λ = {lams[best]:g} they could certify {kept.bound(best)}."
            )
    beyond = [row for row in rows if all(kept.sure[row] for kept in choice.kept)]
    if choice.kept and not texts and beyond:
        names = ", ".join(f"{lams[row]:g}" for row in beyond)
        texts.append(
            f"Of itself λ = {names} would do, but is not reached: λ are tried outwards from "
            f"{_starts(choice)}, up to the first that is not certain."
        )
    elif choice.kept and rows and not texts:
        best = max(rows, key=lambda n: min(kept.probability[n] for kept in choice.kept))
        bounds = "; ".join(f"{kept.bound(best)} ({kept.constraint})" for kept in choice.kept)
        texts.append(
            f"Each can be certified with {level}, but not at one λ; at λ = {lams[best]:g} the "
            f"documents could certify {bounds}."
        )
    return texts


def how_tried(choice: Choice) -> list[str]:
    """What the table of a choice's constraints does not say by itself."""
    if not choice.kept:
        return []
    texts, level = [], choice.kept[0].level
    if level > choice.confidence + 1e-9:
        texts.append(
            f"A λ passes with {percent(level)}: λ are tried from {_starts(choice)} on, and these "
            f"orders share the {percent(1 - choice.confidence)} in which a promise may be broken."
        )
    if any(choice.may(row) == "no: not reached" for row in range(len(choice.admitted))):
        texts.append(
            f"Not reached: between it and {_starts(choice)} is a λ that is not certain, behind "
            "which none is chosen."
        )
    return texts


def _starts(choice: Choice) -> str:
    """The λ from which on others are tried."""
    found = sorted({start for kept in choice.kept for start in kept.starts}, reverse=True)
    return f"λ = {' and '.join(f'{start:g}' for start in found)}"


def percent(share: float) -> str:
    """A share in percent, three digits."""
    return f"{100 * share:.3g}%"


def counted(documents: int, clusters: int) -> str:
    """How many documents, and in how many clusters where these are fewer."""
    if documents == clusters:
        return f"{documents} document{'s' * (documents != 1)}"
    return f"{documents} documents in {clusters} cluster{'s' * (clusters != 1)}"


class _Points:
    """Numbers of the objective, with their unit."""

    def __init__(self, choice: Choice) -> None:
        self._scale = choice.scale

    def of(self, value: float, *, sign: bool = True) -> str:
        shown = self._scale.signed(value) if sign else self._scale.number(value)
        return f"{shown}{' points' * self._scale.points}"

    def to(self, low: float, high: float) -> str:
        return f"{self._scale.signed(low)} to {self._scale.signed(high)}"
