"""The table of one judge: every λ, on all instructions and on each source set."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.judging.alpaca import AlpacaEval, Compared, length_control_refusal
from pa_harness.judging.comparable import comparable
from pa_harness.judging.published import BASELINE, INSTRUCTIONS, find_gamed
from pa_harness.judging.win_rate import against_instruct, win_rate
from pa_harness.runs.judgements import ALL, COMPARABLE, NOT_COMPARABLE, Judged, Judgement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pa_harness.judging.annotator import Annotator
    from pa_harness.judging.outputs import Outputs
    from pa_harness.judging.published import Gamed
    from pa_harness.judging.reference import Reference
    from pa_harness.judging.win_rate import Differences


@dataclass(frozen=True)
class Judge:
    """Who compared with what."""

    annotator: Annotator | None
    reference: Reference
    answered_by: tuple[str, ...]
    df_gamed: Path | None


def judgement_rows(
    judge: Judge, outputs: Sequence[Outputs], judged: Sequence[Judged]
) -> tuple[list[Judgement], list[Judged], dict[str, Any]]:
    """All rows, the verdicts with their parts of the rates, what length control was fitted with.

    Args:
        judge: whose verdicts.
        outputs: the models.
        judged: their verdicts, in the same order.
    """
    gamed = find_gamed(judge.df_gamed) if judge.reference.official else None
    rows, known = [], list[Judged]()
    for each, found in zip(outputs, judged, strict=True):
        whole = _row(judge, each, found.annotations, ALL)
        row, parts = _length_controlled(whole, judge, found.annotations, gamed)
        rows.append(row)
        known.append(replace(found, length_controlled=parts))
        sets = sorted({str(a["dataset"]) for a in found.annotations} - {""})
        for name in sets if len(sets) > 1 else ():
            rows.append(_row(judge, each, found.annotations, name))
    rows = _with_differences(rows, known)
    record: dict[str, Any] = {"df_gamed": None, "published": False}
    if gamed is not None and gamed.path is not None:
        record = {"df_gamed": str(gamed.path), "published": gamed.published}
    return rows, known, record


def _row(
    judge: Judge, outputs: Outputs, annotations: Sequence[Mapping[str, Any]], subset: str
) -> Judgement:
    chosen = [
        (note, answer)
        for note, answer in zip(annotations, outputs.answers, strict=True)
        if subset in (ALL, note["dataset"])
    ]
    found = win_rate([note["preference"] for note, _ in chosen])
    return Judgement(
        lam=outputs.lam,
        generator=outputs.generator,
        subset=subset,
        n=len(chosen),
        n_judged=sum(note["judged"] for note, _ in chosen),
        n_parsed=found.n,
        win_rate=found.win_rate,
        standard_error=found.standard_error,
        discrete_win_rate=found.discrete_win_rate,
        length_controlled_winrate=math.nan,
        lc_standard_error=math.nan,
        lc_absent="" if subset == ALL else "is of all instructions only",
        average_characters=_mean([len(note["output_2"]) for note, _ in chosen]),
        average_tokens=_mean([answer.tokens for _, answer in chosen]),
        reference_characters=_mean([len(note["output_1"]) for note, _ in chosen]),
        comparable=comparable(
            *(outputs, judge.reference, judge.annotator, judge.answered_by, found.n)
        ),
    )


def _length_controlled(
    row: Judgement,
    judge: Judge,
    annotations: Sequence[Mapping[str, Any]],
    gamed: Gamed | None,
) -> tuple[Judgement, list[float]]:
    """The row with its length-controlled win rate, or why it has none; each instruction's part."""
    reason = _refusal(row, judge, gamed)
    if reason or gamed is None or gamed.path is None or judge.reference.positions is None:
        return replace(row, lc_absent=reason), []
    positions = judge.reference.positions
    ordered = sorted(annotations, key=lambda each: positions[each["instruction"]])
    pairs = [Compared(each["instruction"], each["output_1"], each["output_2"]) for each in ordered]
    preferences = [float(each["preference"]) for each in ordered]
    if len({len(pair.output_1) - len(pair.output_2) for pair in pairs}) == 1:
        return replace(row, lc_absent="all answers differ in length by the same"), []
    parts = AlpacaEval().length_controlled(preferences, pairs, gamed.path)
    row = replace(
        row,
        length_controlled_winrate=float(parts.mean()),
        lc_standard_error=float(parts.std(ddof=1) / math.sqrt(len(parts))),
    )
    if not gamed.published:
        note = f"length control by another df_gamed.csv ({gamed.path})"
        start = NOT_COMPARABLE if row.comparable == COMPARABLE else f"{row.comparable}; "
        row = replace(row, comparable=start + note)
    by_instruction = {pair.instruction: part for pair, part in zip(pairs, parts, strict=True)}
    return row, [float(by_instruction[each["instruction"]]) for each in annotations]


def _refusal(row: Judgement, judge: Judge, gamed: Gamed | None) -> str:
    if judge.reference.generator != BASELINE:
        return f"it is fitted for the reference {BASELINE}, not {judge.reference.generator}"
    if row.n != INSTRUCTIONS or row.n_parsed != INSTRUCTIONS:
        return f"it needs all {INSTRUCTIONS} verdicts; there are {row.n_parsed}"
    if not judge.reference.official or gamed is None:
        return f"instructions or outputs of {BASELINE} are not the published ones"
    if judge.reference.positions is None:
        return "which instruction is which of AlpacaEval's is not known"
    return gamed.reason or length_control_refusal()


def _with_differences(rows: list[Judgement], judged: Sequence[Judged]) -> list[Judgement]:
    """Differences to λ = 1 for every subset, on the instructions that all λ have."""
    known = [each for each in judged if not math.isnan(each.lam)]
    texts = [{a["instruction"]: a for a in each.annotations} for each in known]
    shared = [text for text in (texts[0] if texts else ()) if all(text in each for each in texts)]
    lams = [each.lam for each in known]
    found = {}
    for subset in {row.subset for row in rows}:
        chosen = [t for t in shared if subset in (ALL, texts[0][t]["dataset"])]
        values = [[each[text]["preference"] for text in chosen] for each in texts]
        found[subset] = against_instruct(lams, np.array(values, dtype=np.float64))
    rows = [_with_difference(row, found[row.subset], lams) for row in rows]
    if not known or not all(each.length_controlled for each in known):
        return rows
    parts = [
        dict(zip(of_lam, each.length_controlled, strict=True))
        for of_lam, each in zip(texts, known, strict=True)
    ]
    # A part is in percent of a rate, where a verdict is 1 more than a win.
    controlled = [[1 + each[text] / 100 for text in shared] for each in parts]
    apart = against_instruct(lams, np.array(controlled))
    return [_with_lc_difference(row, apart, lams) for row in rows]


def _with_difference(row: Judgement, found: Differences | None, lams: Sequence[float]) -> Judgement:
    if found is None or row.lam not in lams:
        return row
    at, each = lams.index(row.lam), found.to_instruct
    return replace(
        row,
        minus_instruct=float(each.estimate[at]),
        low=float(each.low[at]),
        high=float(each.high[at]),
        band_low=float(each.band_low[at]),
        band_high=float(each.band_high[at]),
        n_paired=found.n,
    )


def _with_lc_difference(
    row: Judgement, found: Differences | None, lams: Sequence[float]
) -> Judgement:
    if found is None or row.lam not in lams or row.subset != ALL:
        return row
    at, each = lams.index(row.lam), found.to_instruct
    return replace(
        row,
        lc_minus_instruct=float(each.estimate[at]),
        lc_low=float(each.low[at]),
        lc_high=float(each.high[at]),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
