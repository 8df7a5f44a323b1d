"""A figure that knows how it is written: SVG, PNG and PDF; same numbers, same bytes."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("svg", "png", "pdf")
_DPI = 160  # of PNG
_DATED = {"svg": "Date", "png": "Software", "pdf": "CreationDate"}
FIXED: Any = {  # ids of SVG elements; text that can be found and copied; $ in a name is a dollar
    **{"svg.hashsalt": "pa-harness", "svg.fonttype": "none", "pdf.fonttype": 42},
    "text.parse_math": False,
}


class Picture(Figure):
    """A figure of matplotlib that shows itself in a notebook, without pyplot."""

    def save(self, target: Path | BytesIO, kind: str) -> None:
        """Write it in one of `KINDS`."""
        with rc_context(FIXED):
            self.savefig(target, format=kind, dpi=_DPI, metadata={_DATED[kind]: None})

    def svg(self) -> str:
        """It as SVG text, to stand in a page."""
        buffer = BytesIO()
        self.save(buffer, "svg")
        text = buffer.getvalue().decode("utf-8")
        return text[text.index("<svg") :]

    def _repr_svg_(self) -> str:
        return self.svg()
