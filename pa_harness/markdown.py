"""Numbers and tables as text: Markdown, padded so that it reads in a terminal too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; first column to the left, the others to the right, padded."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]

    def line(cells: Sequence[str]) -> str:
        first = f"{cells[0]:<{widths[0]}}"
        pairs = zip(cells[1:], widths[1:], strict=True)
        rest = [f"{cell:>{width}}" for cell, width in pairs]
        return f"| {' | '.join([first, *rest])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def number(value: float, digits: int = 4) -> str:
    """The value with so many decimals; a dash for what is undefined (NaN)."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float, digits: int = 4) -> str:
    """A difference: as `number`, its sign always shown."""
    return "–" if math.isnan(value) else f"{value:+.{digits}f}"


def interval(low: float, high: float, digits: int = 4) -> str:
    """The two ends of a difference's interval."""
    return f"[{signed(low, digits)}, {signed(high, digits)}]"
