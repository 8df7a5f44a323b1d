"""A judge's table as text, to read in a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pa_harness.markdown import interval, number, signed, table
from pa_harness.runs.judgements import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.runs.judgements import Judgement


def judgements_text(rows: Sequence[Judgement]) -> str:
    """The table to read in a terminal, and below it what is absent, and why."""
    whole = [row for row in rows if row.subset == ALL]
    parts = [_main_table(whole)]
    sets = sorted({row.subset for row in rows} - {ALL})
    if sets:
        by_place = {(row.lam, row.generator, row.subset): row for row in rows}
        lines = [
            [_name(row), *(_rate(by_place.get((row.lam, row.generator, s))) for s in sets)]
            for row in whole
        ]
        parts.append("Win rate by source set:\n\n" + table(["λ", *sets], lines))
    for what, reasons in (
        ("No length-controlled win rate", [row.lc_absent for row in whole]),
        ("The leaderboard", [row.comparable for row in whole]),
    ):
        for reason in dict.fromkeys(filter(None, reasons)):
            at = ", ".join(_name(r) for r, why in zip(whole, reasons, strict=True) if why == reason)
            where = "" if len(set(reasons)) == 1 else f" (λ = {at})"
            parts.append(f"{what}{where}: {reason}.")
    return "\n\n".join(parts)


def _main_table(rows: Sequence[Judgement]) -> str:
    header = ["λ", "win rate", "± se", "λ − 1", "95%", "LC win rate", "± se", "λ − 1", "95%"]
    header += ["discrete", "verdicts", "characters", "tokens"]
    lines = []
    for row in rows:
        plain = "–" if math.isnan(row.low) else interval(row.low, row.high, 2)
        controlled = "–" if math.isnan(row.lc_low) else interval(row.lc_low, row.lc_high, 2)
        lines.append(
            [
                *(_name(row), number(row.win_rate, 2), number(row.standard_error, 2)),
                *(signed(row.minus_instruct, 2), plain),
                *(number(row.length_controlled_winrate, 2), number(row.lc_standard_error, 2)),
                *(signed(row.lc_minus_instruct, 2), controlled),
                *(number(row.discrete_win_rate, 2), f"{row.n_parsed}/{row.n}"),
                *(number(row.average_characters, 0), number(row.average_tokens, 0)),
            ]
        )
    return table(header, lines)


def _name(row: Judgement) -> str:
    return row.generator if math.isnan(row.lam) else f"{row.lam:g}"


def _rate(row: Judgement | None) -> str:
    return "–" if row is None else f"{number(row.win_rate, 2)} ± {number(row.standard_error, 2)}"
