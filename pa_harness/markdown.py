"""Numbers, tables and cards as text: Markdown, padded so that it reads in a terminal too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.foreign.showing import one_line
from pa_harness.storage import as_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


_ROUNDING = 1e-12


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; first column to the left, the others to the right, padded."""
    first, *others = [[_in_cell(cell) for cell in cells] for cells in (header, *rows)]
    columns = list(zip(first, *others, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]

    def line(cells: Sequence[str]) -> str:
        left = f"{cells[0]:<{widths[0]}}"
        pairs = zip(cells[1:], widths[1:], strict=True)
        rest = [f"{cell:>{width}}" for cell, width in pairs]
        return f"| {' | '.join([left, *rest])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(first), line(rule), *map(line, others)])


def _in_cell(text: str) -> str:
    """One line, without what would end the cell."""
    return one_line(text).replace("|", "\\|")


def card(metadata: Mapping[str, Any], parts: Sequence[str]) -> str:
    """A README.md as the Hub reads it: metadata in front, then the parts.

    Args:
        metadata: by name.
        parts: Markdown; what others wrote has passed `pa_harness.foreign.showing`.
    """
    return "\n\n".join([f"---\n{as_yaml(dict(metadata))}---", *parts]) + "\n"


def number(value: float, digits: int = 4) -> str:
    """The value with so many decimals, two digits of a smaller one; a dash for NaN (undefined)."""
    return _shown(value, "", digits)


def signed(value: float, digits: int = 4) -> str:
    """A difference: as `number`, its sign always shown."""
    return _shown(value, "+", digits)


def _shown(value: float, sign: str, digits: int) -> str:
    if math.isnan(value):
        return "–"
    if abs(value) < _ROUNDING:  # of sums in another order; no -0 either
        return f"{0:{sign}.{digits}f}"
    small = abs(value) < 0.5 * 10.0**-digits
    return f"{value:{sign}.1e}" if small else f"{value:{sign}.{digits}f}"


def interval(low: float, high: float, digits: int = 4) -> str:
    """The two ends of a difference's interval."""
    return f"[{signed(low, digits)}, {signed(high, digits)}]"


@dataclass(frozen=True)
class Scale:
    """How people are shown a quantity: fractions in points (of 100), all else in its own unit."""

    points: bool = False

    @classmethod
    def of(cls, values: Iterable[float]) -> Scale:
        """In points where all values that are known are between 0 and 1."""
        known = [value for value in values if not math.isnan(value)]
        return cls(bool(known) and min(known) >= 0 and max(known) <= 1)

    @property
    def factor(self) -> int:
        """On every number."""
        return 100 if self.points else 1

    @property
    def unit(self) -> str:
        """To stand behind a heading."""
        return ", points" if self.points else ""

    def number(self, value: float) -> str:
        """As `number`, with two decimals of points."""
        return number(self.factor * value, 2 if self.points else 4)

    def signed(self, value: float) -> str:
        """As `signed`, likewise."""
        return signed(self.factor * value, 2 if self.points else 4)

    def interval(self, low: float, high: float) -> str:
        """As `interval`, likewise."""
        return f"[{self.signed(low)}, {self.signed(high)}]"
