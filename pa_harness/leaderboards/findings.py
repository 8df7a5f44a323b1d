"""What our numbers show of published ones: that they agree, are reproduced, or no more than that.

A number is *reproduced* only where a margin that was named beforehand holds the whole interval of
the difference (two one-sided tests at 5%, Schuirmann 1987), whose error is at most that of
`comparison`; or where it agrees to the last printed digit. Else it is not contradicted, or differs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.leaderboards.comparison import Contender, Row

AGREES, REPRODUCED = "agrees as printed", "reproduced"
OPEN, DIFFERS = "not contradicted", "differs"
FINDINGS = (AGREES, REPRODUCED, OPEN, DIFFERS)
MARGIN = 0.01  # within which a number is reproduced, unless the user says another
PRINTED = 5e-5  # half of the last digit: two decimals of a percentage
_CRITICAL = 1.96  # of z, two-sided at 5%
_ONE_SIDED = 1.645  # at 5%


def finding(row: Row, margin: float = MARGIN) -> str:
    """What a difference says: one of `FINDINGS`.

    Args:
        row: with a published number.
        margin: how far apart two numbers may be that are as good as the same; a fraction.
    """
    if abs(row.difference) <= PRINTED:
        return AGREES
    if math.isnan(row.z):
        return DIFFERS
    error = row.difference / row.z
    if abs(row.difference) + _ONE_SIDED * error <= margin:
        return REPRODUCED
    return DIFFERS if abs(row.z) > _CRITICAL else OPEN


def endpoint_sentence(contender: Contender, rows: Sequence[Row], margin: float = MARGIN) -> str:
    """What an end of the pair shows of its published numbers; empty between the ends.

    Args:
        contender: whose.
        rows: its.
        margin: of `finding`.
    """
    beside = [row for row in rows if not math.isnan(row.published)]
    if not contender.endpoint or not beside:
        return ""
    fair = [row for row in beside if not row.reasons]
    if not fair:
        return f"{contender.label}: no task is comparable with {beside[0].model}'s."
    found = {name: [row for row in fair if finding(row, margin) == name] for name in FINDINGS}
    parts = []
    for name, more in ((AGREES, ""), (REPRODUCED, f" within ±{margin:g}")):
        if found[name]:
            parts.append(f"{name}{more}: {len(found[name])}")
    if found[OPEN]:
        most = max(row.visible for row in found[OPEN])
        parts.append(
            f"{OPEN}: {len(found[OPEN])} (differences under ±{most:.4f} are invisible here)"
        )
    for row in found[DIFFERS]:
        z = "undefined" if math.isnan(row.z) else f"{row.z:+.1f}"
        parts.append(f"{row.task} {DIFFERS} by {row.difference:+.4f} (z = {z})")
    unfair = [row.task for row in beside if row.reasons]
    if unfair:
        parts.append(f"not comparable: {', '.join(unfair)}")
    tasks = f"{len(fair)} comparable task{'s' * (len(fair) != 1)}"
    return f"{contender.label} beside {beside[0].model}, {tasks}: {'; '.join(parts)}."
