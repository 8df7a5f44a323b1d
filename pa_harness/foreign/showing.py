"""Texts that somebody else wrote, shown so that they are read and never obeyed.

A terminal obeys escape sequences, a spreadsheet cells that begin with ``=``, a page its HTML.
"""

from __future__ import annotations

import sys
import unicodedata
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "'")  # and what undoing them must know
_JOINERS = "\u200c\u200d"  # invisible, and part of how some scripts are written
_PROGRESS = ("\r", "\x1b[A")  # what tqdm moves the cursor by
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MARKS = "\\`*_[]|#~$"


def printable(text: str) -> str:
    r"""The text for a terminal: what would move the cursor or turn the writing is spelled out.

    Line breaks and tabs stay. Escape sequences, other control characters, signs that reverse the
    direction of writing and halves of characters become ``\x1b``, ``\u202e`` and the like.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(sign if _is_harmless(sign) else _spelled(sign) for sign in text)


def one_line(text: str) -> str:
    """The text for a place that has one line, such as a table's cell: line breaks spelled out."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def cell(text: str) -> str:
    """The text for a cell of a table that a spreadsheet may open, where none is a formula."""
    return f"'{text}" if text.startswith(_FORMULAS) else text


def uncelled(text: str) -> str:
    """The text that `cell` was given."""
    return text[1:] if text.startswith("'") else text


def in_markdown(text: str) -> str:
    """The text on one line of Markdown, as itself: no markup, no HTML, no link."""
    signs = (_ENTITIES.get(s) or (f"\\{s}" if s in _MARKS else s) for s in one_line(text))
    return "".join(signs)


def as_code(text: str) -> str:
    """The text on one line of Markdown in the letters of a program."""
    shown = one_line(text).replace("|", "\\|")  # a cell of a table ends at a bare one
    ticks = "`"
    while ticks in shown:
        ticks += "`"
    blank = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{ticks}{blank}{shown or ' '}{blank}{ticks}"


def _is_harmless(sign: str) -> bool:
    kind = unicodedata.category(sign)
    return sign in "\n\t" or sign in _JOINERS or kind not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _spelled(sign: str) -> str:
    code = ord(sign)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Shown:
    """A stream to a terminal that what is written to passes `printable` first."""

    def __init__(self, bare: Any, passed: tuple[str, ...] = ()) -> None:
        self.bare = bare
        self._passed = passed

    def write(self, text: str) -> int:
        """Write; return the length of what was given."""
        parts = [text]
        for sign in self._passed:
            parts = [piece for part in parts for piece in _kept(part, sign)]
        shown = (part if part in self._passed else printable(part) for part in parts)
        self.bare.write("".join(shown))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write all of them."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare, name)


def _kept(text: str, sign: str) -> Iterator[str]:
    """The parts of a text, and between them the sign that divides them."""
    first, *others = text.split(sign)
    yield first
    for other in others:
        yield sign
        yield other


@contextmanager
def harmless_output() -> Iterator[None]:
    """Let nothing that is printed in here, by whomever, steer the terminal; progress bars may."""
    with (
        redirect_stdout(_Shown(sys.stdout)),
        redirect_stderr(_Shown(sys.stderr, _PROGRESS)),
    ):
        yield


def bare(stream: Any) -> Any:
    """The stream below `harmless_output`, for a writer that steers the terminal by itself."""
    return getattr(stream, "bare", stream)
