"""The values of λ that a sweep visits, written as a list or as ``start:stop:step``.

0,0.25,1          three values
0:1:0.1           eleven: both ends belong to it, and 0.3 is 0.3, not 0.30000000000000004
0:1:0.25,0.55     parts may be mixed
"""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import TYPE_CHECKING

from pa_harness.errors import SweepError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST = 1001  # values; more is a slip of the pen in the step


def parse_lams(given: object) -> tuple[float, ...]:
    """The values in ascending order, each once.

    Args:
        given: a text as above, a number, or a sequence of them.

    Raises:
        SweepError: not numbers, no value, or a step that does not lead from start to stop.
    """
    if isinstance(given, (list, tuple)):
        parts: Sequence[object] = given
    else:
        parts = [part for part in str(given).split(",") if part.strip()]
    values: set[Decimal] = set()
    for part in parts:
        values |= set(_range(str(part)) if ":" in str(part) else [_decimal(part)])
    if not values:
        raise SweepError(
            f"--lam {given!r} names no λ. Give values (0,0.5,1) or start:stop:step (0:1:0.1)."
        )
    return tuple(sorted({float(value) or 0.0 for value in values}))  # −0 is 0


def visiting_order(lams: Sequence[float]) -> tuple[float, ...]:
    """The order in which a sweep visits its λ: the ends first, so that a part is a curve, too.

    λ = 1 and 0 (where they are not swept, the largest and the least), the outermost beyond them,
    and from then on the value nearest to the middle of the widest gap; of equals the lower one.

    Args:
        lams: ascending, each once.
    """
    left = list(lams)
    ordered: list[float] = []
    ends = [1.0 if 1.0 in left else left[-1], 0.0 if 0.0 in left else left[0], left[-1], left[0]]
    for end in ends:
        if end in left:
            left.remove(end)
            ordered.append(end)
    while left:
        done = sorted(ordered)
        gaps = [
            (low, high) for low, high in pairwise(done) if any(low < each < high for each in left)
        ]
        low, high = max(gaps, key=lambda gap: (round(gap[1] - gap[0], 9), -gap[0]))
        inside = [each for each in left if low < each < high]
        chosen = min(inside, key=lambda each: (round(abs(each - (low + high) / 2), 9), each))
        left.remove(chosen)
        ordered.append(chosen)
    return tuple(ordered)


def lam_name(lam: float) -> str:
    """``lam=0.25``: the folder of one λ; as short as can be without loss."""
    return f"lam={lam:.0f}" if lam == int(lam) else f"lam={lam!r}"


def _range(text: str) -> list[Decimal]:
    parts = [_decimal(part) for part in text.split(":")]
    if len(parts) != 3:
        raise SweepError(f"--lam {text}: a range has three parts, start:stop:step, as in 0:1:0.1.")
    start, stop, step = parts
    count = (stop - start) / step if step else Decimal(-1)
    if count < 0 or count != int(count):
        raise SweepError(
            f"--lam {text}: steps of {step} from {start} do not reach {stop}. Both ends belong to "
            "the range, so choose a step that divides it, as in 0:1:0.1."
        )
    if count >= _MOST:
        raise SweepError(f"--lam {text} means {count + 1} values of λ; at most {_MOST} are swept.")
    return [start + number * step for number in range(int(count) + 1)]


def _decimal(part: object) -> Decimal:
    try:
        value = Decimal(str(part).strip())
    except InvalidOperation:
        value = Decimal("nan")
    if isinstance(part, bool) or not math.isfinite(value):
        raise SweepError(
            f"--lam {part!r} is not a number. Give values (0,0.5,1) or start:stop:step (0:1:0.1)."
        )
    return value
