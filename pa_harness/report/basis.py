"""What a verdict rests on, in a few words each; what speaks against it is marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.tasks.shipped import INSTRUCTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pa_harness.analysis.summary import Summary
    from pa_harness.runs.scores import Score

_FAR = 0.5  # of a checkpoint's weights: a fine-tune moves them by a few percent
_FEW = 100  # documents of all few-shot tasks together
_NAMED = 3  # metrics or shots that are spelled out


@dataclass(frozen=True)
class Badge:
    """One fact beside the verdict.

    Attributes:
        text: the fact.
        doubt: whether it weakens the verdict.
    """

    text: str
    doubt: bool = False


def basis(
    summary: Summary,
    scores: Sequence[Score],
    provenance: Mapping[str, Any],
    distances: Mapping[int, float],
) -> list[Badge]:
    """The facts: documents, shots, metrics, limit, grid, how far the checkpoints are apart, notes.

    Args:
        summary: of the run.
        scores: of the run.
        provenance: its record.
        distances: ‖θ_n+1 − θ_n‖ / ‖θ_n‖ of the leg behind each checkpoint n, a fraction; those
            that are not known are left out.
    """
    main = [score for score in scores if score.main]
    few_shot = [score for score in main if score.category != INSTRUCTION]
    found = [*_counts(summary), *_shots(few_shot, summary.draws), *_metrics(main)]
    settings = provenance.get("settings") or {}
    if settings.get("limit"):
        limit = settings["limit"]
        part = f"{limit:.0%}" if limit < 1 else f"the first {limit:g}"
        found.append(Badge(f"limit: {part} documents of each task", doubt=True))
    elif settings.get("samples"):
        found.append(Badge("a part of the documents (samples)", doubt=True))
    lams = summary.lams
    found.append(Badge(f"{len(lams)} λ from {lams[0]:g} to {lams[-1]:g}", doubt=len(lams) < 3))
    if distances:
        parts = [_apart(summary, leg, share) for leg, share in sorted(distances.items())]
        found.append(Badge("; ".join(parts), doubt=max(distances.values()) > _FAR))
    return found + [Badge(note, doubt=True) for note in summary.notes]


def _apart(summary: Summary, leg: int, share: float) -> str:
    """How far the two checkpoints of a leg are apart."""
    if summary.mine:
        return f"your fine-tune differs from its parent by {share:.2%} of its weights"
    if len(summary.knots) > 2:
        before, after = summary.knots[leg : leg + 2]
        return f"{after} differs from {before} by {share:.2%} of its weights"
    return f"the ends differ by {share:.2%} of the base's weights"


def _counts(summary: Summary) -> list[Badge]:
    found = []
    for name, title in (("ICL", "few-shot (ICL)"), ("IF", "instruction following (IF)")):
        curve = summary.curve(name)
        if curve is None:
            continue
        tasks = f"{curve.counted} task{'s' * (curve.counted != 1)}"
        count = f"{curve.documents:,} document{'s' * (curve.documents != 1)}"
        found.append(Badge(f"{title}: {tasks}, {count}", doubt=curve.documents < _FEW))
    return found


def _shots(few_shot: Sequence[Score], draws: int) -> list[Badge]:
    """How many demonstrations; a score without any is no few-shot score."""
    counts = sorted({score.num_fewshot for score in few_shot})
    if not counts:
        return []
    without = list(dict.fromkeys(score.task for score in few_shot if not score.num_fewshot))
    if without:
        named = ", ".join(without[:_NAMED]) + (", …" if len(without) > _NAMED else "")
        return [Badge(f"0 shots, so not few-shot: {named}", doubt=True)]
    text = ", ".join(map(str, counts)) if len(counts) <= _NAMED else f"{counts[0]} to {counts[-1]}"
    return [Badge(f"{text} shots, drawn {'once' if draws == 1 else f'{draws} times'}")]


def _metrics(main: Sequence[Score]) -> list[Badge]:
    names = list(dict.fromkeys(score.metric for score in main))
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [Badge(f"metric: {', '.join(names[:_NAMED])}{more}")]
